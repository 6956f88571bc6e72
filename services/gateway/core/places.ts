import { notLetIn } from './not-let-in.ts'
import type { Refusal } from './refusal.ts'

/** Limits of what is in flight at once. */
export interface PlacesOptions {
  readonly maxInFlight: number
  /** Bytes of their data. */
  readonly maxInFlightBytes: number
}

/** How much a new duration counts in the mean. */
const WEIGHT = 0.05
const LONGEST_RETRY_MS = 30_000
const SOONEST_RETRY_MS = 500

/** Requests in flight, counted: what is beyond the limits is refused before anything is done for it. */
export class Places {
  readonly #options: PlacesOptions
  #taken = 0
  #bytes = 0
  #meanMs = 0

  constructor(options: PlacesOptions) {
    this.#options = options
  }

  /** Whether there is a place. What is larger than all room gets in when it is alone. @throws Refusal 503 naming the limit */
  check(bytes: number): void {
    const { maxInFlight, maxInFlightBytes } = this.#options
    if (this.#taken >= maxInFlight) throw this.#refusal('maxInFlight', this.#taken, 'requests')
    if (this.#taken > 0 && this.#bytes + bytes > maxInFlightBytes)
      throw this.#refusal('maxInFlightBytes', this.#bytes + bytes, 'bytes')
  }

  /** Takes a place. @throws Refusal 503 where there is none */
  enter(bytes: number): void {
    this.check(bytes)
    this.#taken++
    this.#bytes += bytes
  }

  /** @param durationMs how long the place was taken */
  leave(bytes: number, durationMs: number): void {
    this.#taken--
    this.#bytes -= bytes
    this.#meanMs += WEIGHT * (durationMs - this.#meanMs)
  }

  #refusal(limit: keyof PlacesOptions, measured: number, unit: string): Refusal {
    return notLetIn({
      ...{ limit, value: this.#options[limit], measured, unit, isOfSource: false },
      retryAfterMs: Math.min(LONGEST_RETRY_MS, Math.max(SOONEST_RETRY_MS, this.#meanMs)),
      because: 'as much is in flight at this gateway as it takes: another one may have room',
    })
  }
}
