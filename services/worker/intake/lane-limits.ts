import { TimedTally } from './timed-tally.ts'

export interface LaneLimitsOptions {
  /** Deliveries a lane may have in flight at the broker, over all workers of the pool. */
  readonly maxAckPending: number
  /** Workers of the pool that share it. */
  readonly workers: () => number
  /** Deliveries of a consumer in this worker's hands. */
  readonly inHand: (consumer: string) => number
  /** Whether what is in hand may have to be given back: models are not servable, and little more can be parked. */
  readonly isTight: () => boolean
  /** Told when a lane may take more again. */
  readonly onMore: () => void
}

/** A lane may have a quarter of its deliveries in flight away: the rest is for events whose model is servable. */
const SHARE_AWAY = 4

/**
 * What is given back with a delay because its model is not servable here stays in flight at the broker. Beyond a quarter of
 * what a lane may have in flight, this worker's share of it, the lane stands: its events wait in their stream, which
 * refuses producers once it is full.
 */
export class LaneLimits {
  /** By consumer, what is away. */
  readonly away: TimedTally
  readonly #options: LaneLimitsOptions

  constructor(options: LaneLimitsOptions) {
    this.#options = options
    this.away = new TimedTally(options.onMore)
  }

  /** How many more messages of a consumer may be taken now. */
  most(consumer: string): number {
    const { events } = this.away.of(consumer)
    const { inHand, isTight } = this.#options
    if (events === 0 && !isTight()) return Number.POSITIVE_INFINITY
    return Math.max(0, this.#share - events - inHand(consumer))
  }

  /** Consumers of lanes that stand now. */
  get standing(): readonly string[] {
    return [...this.away.read()]
      .filter(([, { events }]) => events >= this.#share)
      .map(([consumer]) => consumer)
  }

  close(): void {
    this.away.close()
  }

  get #share(): number {
    const { maxAckPending, workers } = this.#options
    return Math.max(1, Math.floor(maxAckPending / SHARE_AWAY / Math.max(1, workers())))
  }
}
