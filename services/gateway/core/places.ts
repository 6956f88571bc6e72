import { Refusal } from './refusal.ts'

/** Limits of what is in flight at once. */
export interface PlacesOptions {
  readonly maxInFlight: number
  /** Bytes of their data. */
  readonly maxInFlightBytes: number
}

/** How much a new duration counts in the mean. */
const WEIGHT = 0.05
const LONGEST_RETRY_S = 30

/** Requests in flight, counted: what is beyond the limits is refused before anything is done for it. */
export class Places {
  readonly #options: PlacesOptions
  #taken = 0
  #bytes = 0
  #meanMs = 0

  constructor(options: PlacesOptions) {
    this.#options = options
  }

  /** Takes a place. What is larger than all room gets in when it is alone. @throws Refusal 503 naming the limit */
  enter(bytes: number): void {
    const { maxInFlight, maxInFlightBytes } = this.#options
    if (this.#taken >= maxInFlight)
      throw this.#refusal('maxInFlight', `${this.#taken} requests are`, maxInFlight)
    if (this.#taken > 0 && this.#bytes + bytes > maxInFlightBytes)
      throw this.#refusal('maxInFlightBytes', `${this.#bytes} bytes of requests are`, maxInFlightBytes)
    this.#taken++
    this.#bytes += bytes
  }

  /** @param durationMs how long the place was taken */
  leave(bytes: number, durationMs: number): void {
    this.#taken--
    this.#bytes -= bytes
    this.#meanMs += WEIGHT * (durationMs - this.#meanMs)
  }

  #refusal(field: keyof PlacesOptions, what: string, most: number): Refusal {
    return new Refusal(503, 'Overloaded', `${what} in flight at this gateway, which is as much as it takes`, {
      code: 'overloaded',
      retryAfterSeconds: Math.min(LONGEST_RETRY_S, Math.max(1, Math.ceil(this.#meanMs / 1_000))),
      field,
      value: String(most),
      remedy: 'Ask again later, or run another gateway.',
    })
  }
}
