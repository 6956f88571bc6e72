import { PeltonError } from '../errors.ts'

/** Why an event is not let in. A refusal at the door is no event: it has no token, and nothing is stored of it. */
export interface Refused {
  /** The limit that refused it: of {@link DOOR_LIMITS}, or that of a gate. */
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
export const DOOR_LIMITS = ['backlog', 'share', 'credit', 'maxBacklogSeconds', 'throttle', 'quota'] as const
export type DoorLimit = (typeof DOOR_LIMITS)[number]

/** A refusal as an error: `rate-limited` where the source is the reason, `overloaded` else. */
export function refusalError({ limit, value, measured, unit, ...refused }: Refused): PeltonError {
  const { retryAfterMs, isOfSource, because } = refused
  const show = (amount: number): string => `${Number(amount.toPrecision(4))} ${unit}`.trim()
  return new PeltonError(isOfSource ? 'rate-limited' : 'overloaded', because, {
    field: limit,
    value: `${show(measured)}, at most ${show(value)}`,
    remedy: `Nothing was stored. Come back in ${Math.ceil(retryAfterMs)} ms.`,
    retryAfterMs: Math.ceil(retryAfterMs),
  })
}

/** When whoever was refused asks again, milliseconds: not before it was told, and not all at the same time. */
export function comeBackMs(
  { retryAfterMs }: Pick<Refused, 'retryAfterMs'>,
  random: () => number = Math.random,
): number {
  return retryAfterMs * (1 + random() / 2)
}
