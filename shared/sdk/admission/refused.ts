import { type ErrorDetails, PeltonError } from '../errors.ts'

/** Why an event is not let in. A refusal at the door is no event: it has no token, and nothing is stored of it. */
export interface Refused {
  /** The limit that refused it: a {@link DoorLimit}, or that of a gate. */
  readonly limit: string
  /** From where on events are refused, and what was measured, both in `unit`. */
  readonly value: number
  readonly measured: number
  readonly unit: string
  /** When to come back, milliseconds: soonest then it may be let in. */
  readonly retryAfterMs: number
  /** Whether it is its own source that asks for too much: others are let in. */
  readonly isOfSource: boolean
  /** For people, in a sentence. */
  readonly because: string
}

/** Limits that a door keeps itself; those of gates are named by whoever says them. */
export type DoorLimit = 'backlog' | 'share' | 'maxBacklogSeconds' | 'throttle' | 'quota'

/** The code of a refusal: `rate-limited` where the source is the reason, `overloaded` else. */
export function refusalCode({ isOfSource }: Pick<Refused, 'isOfSource'>): 'rate-limited' | 'overloaded' {
  return isOfSource ? 'rate-limited' : 'overloaded'
}

/** What every door says of a refusal. @param retryAfterMs when to come back, where that is later than it could be */
export function refusalDetails(
  { limit, value, measured, unit, retryAfterMs: soonestMs }: Refused,
  retryAfterMs = soonestMs,
) {
  const wholeMs = Math.ceil(retryAfterMs)
  return {
    field: limit,
    value: `${shown(measured, unit)}, at most ${shown(value, unit)}`,
    remedy: `Nothing was stored. Come back in ${wholeMs} ms.`,
    retryAfterMs: wholeMs,
  } as const satisfies ErrorDetails
}

/** Four digits of an amount: of as many as there are refusals most are whole. */
function shown(amount: number, unit: string): string {
  const digits =
    Number.isInteger(amount) && Math.abs(amount) < 10_000 ? amount : Number(amount.toPrecision(4))
  return unit === '' ? `${digits}` : `${digits} ${unit}`
}

/** A refusal as an error. */
export function refusalError(refused: Refused): PeltonError {
  const details = refusalDetails(refused)
  return refused.isOfSource
    ? new PeltonError('rate-limited', refused.because, details)
    : new PeltonError('overloaded', refused.because, details)
}

/** When whoever was refused asks again, milliseconds: not before it was told, and not all at the same time. */
export function comeBackMs(
  { retryAfterMs }: Pick<Refused, 'retryAfterMs'>,
  random: () => number = Math.random,
): number {
  return retryAfterMs * (1 + random() / 2)
}
