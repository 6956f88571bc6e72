import { quantile } from '../../scale/stage.ts'
import type { SimEvent } from '../load/event.ts'

/** What became of some events. */
export interface Figures {
  readonly sent: number
  readonly predictions: number
  readonly inTime: number
  readonly refusals: number
  readonly deadLetters: number
  /** Of the predictions, milliseconds; NaN of none. */
  readonly meanMs: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Counts what becomes of events. */
export class Tally {
  sent = 0
  inTime = 0
  refusals = 0
  deadLetters = 0
  readonly #latencies: number[] = []

  predicted(event: SimEvent, atMs: number): void {
    this.#latencies.push(atMs - event.sentAtMs)
    if (atMs <= event.endsAtMs) this.inTime++
  }

  get figures(): Figures {
    const { sent, inTime, refusals, deadLetters } = this
    const [p50Ms, p99Ms] = [0.5, 0.99].map((share) => quantile(this.#latencies, share)) as [number, number]
    const predictions = this.#latencies.length
    const meanMs = this.#latencies.reduce((sum, ms) => sum + ms, 0) / predictions
    return { sent, predictions, inTime, refusals, deadLetters, meanMs, p50Ms, p99Ms }
  }
}
