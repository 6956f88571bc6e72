import { comeBackMs } from '../admission/refused.ts'

/**
 * How many sends may be under way, by what became of the last ones: one after a failure, and only after a pause that
 * doubles up to ten seconds; one more after each success.
 */
export class Pace {
  readonly #most: number
  readonly #random: () => number
  #allowed: number
  #failures = 0
  #pausedUntil = 0

  /** `random` draws from 0 to 1. */
  constructor(most: number, random: () => number = Math.random) {
    this.#most = most
    this.#random = random
    this.#allowed = most
  }

  /** How many more sends may begin at `now`, with `underWay` of them there already. */
  room(now: number, underWay: number): number {
    return now < this.#pausedUntil ? 0 : Math.max(0, this.#allowed - underWay)
  }

  /** Milliseconds until the pause ends; 0 where there is none. */
  pauseMs(now: number): number {
    return Math.max(0, this.#pausedUntil - now)
  }

  succeeded(): void {
    this.#failures = 0
    this.#allowed = Math.min(this.#most, this.#allowed + 1)
  }

  /** What fails while paused began before, and says nothing new. @param forMs how long to pause, where somebody said it */
  failed(now: number, forMs?: number): void {
    if (now < this.#pausedUntil) return
    const doubled = Math.min(10_000, 100 * 2 ** Math.min(this.#failures, 10)) * (0.5 + this.#random() / 2)
    const pauseMs = forMs === undefined ? doubled : comeBackMs({ retryAfterMs: forMs }, this.#random)
    if (forMs === undefined) this.#failures++
    this.#allowed = 1
    this.#pausedUntil = now + pauseMs
  }

  /** Ends a pause: there is news that makes another try worth while. */
  resume(): void {
    this.#pausedUntil = 0
  }
}
