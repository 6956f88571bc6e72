/** What it is told: to publish events that nobody works on, to flood, to end. */
export type Word = 'store' | 'go' | 'stop'

/** A pool without workers: what is published to it the broker stores, and no more. */
export const NOBODYS = 'nobodys'

/** What the flood became. */
export interface Told {
  /** From being published to its outcome, one event with nothing beside it, milliseconds. */
  readonly oneAloneMs: number
  readonly outcomes: Readonly<Record<string, number>>
}
