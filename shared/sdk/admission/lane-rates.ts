import { type OfLanes, ofLanes } from '../contract/flow.ts'
import type { Lane } from '../contract/subjects.ts'

/** How long what came stays, milliseconds: an average that forgets exponentially. */
const REMEMBERED_MS = 300

/** How much came of each lane lately. */
export class LaneRates {
  readonly #since: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  #perSecond: OfLanes<number> = { high: 0, normal: 0, low: 0 }

  came(lane: Lane, count: number): void {
    this.#since[lane] += count
  }

  /** Time passed, milliseconds, in which came what came since this was called last. */
  passed(ms: number): void {
    if (ms <= 0) return
    const weight = 1 - Math.exp(-ms / REMEMBERED_MS)
    this.#perSecond = ofLanes((lane) => {
      const rate = (1_000 * this.#since[lane]) / ms
      this.#since[lane] = 0
      return this.#perSecond[lane] + weight * (rate - this.#perSecond[lane])
    })
  }

  /** So many a second. */
  get perSecond(): OfLanes<number> {
    return this.#perSecond
  }
}
