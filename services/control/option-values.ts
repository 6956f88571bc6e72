import { InvalidArgumentError } from 'commander'
import { isLane, LANES, type Lane } from '../../shared/sdk/contract/subjects.ts'

/** A whole number from 1, as an option's value. */
export function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1.')
  return Number(text)
}

/** A port of this machine. */
export function portNumber(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text) || Number(text) > 65_535)
    throw new InvalidArgumentError('It must be a port from 1 to 65535.')
  return Number(text)
}

/** A lane of the contract. */
export function lane(text: string): Lane {
  if (!isLane(text)) throw new InvalidArgumentError(`It must be one of ${LANES.join(', ')}.`)
  return text
}

/** A moment: a date, or how long ago (`90s`, `15m`, `2h`, `7d`). */
export function moment(text: string, nowMs: number = Date.now()): Date {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (amount !== undefined && unit !== undefined)
    return new Date(nowMs - Number(amount) * UNIT_MS[unit as Unit])
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(time)) return new Date(time)
  throw new InvalidArgumentError(
    'It must be a time like 2026-01-31T12:00:00Z, or how long ago: 90s, 15m, 2h, 7d.',
  )
}

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
type Unit = keyof typeof UNIT_MS
