import { InvalidArgumentError } from 'commander'
import { MOMENT_FORM, readMoment } from '../../shared/runtime/moment.ts'
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
  const read = readMoment(text, nowMs)
  if (read === undefined) throw new InvalidArgumentError(`It must be ${MOMENT_FORM}.`)
  return read
}
