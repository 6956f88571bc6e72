import { LANE_ROWS } from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'

/** Something of a lane; several of them are given by falling lane. */
interface OfLane {
  readonly lane: Lane
}

/**
 * Which lane is next, by deficit round robin (Shreedhar and Varghese 1996): in a round each lane that waits has its rows, the
 * higher lane first. A batch is not cut off where they end: what it has beyond them is a debt that later rounds pay off. No
 * lane saves up more than one round is, so that nobody's pause is paid for by the others later.
 */
export class LaneCredits {
  /** Rows each lane has left of the rounds so far; below 0 a debt. */
  readonly #left: Record<Lane, number> = { ...LANE_ROWS }

  /**
   * Before a batch: the lane whose turn it is. Where none has rows left, as many rounds go by as one of them needs.
   *
   * @param waiting all that wait and may go, at least one
   */
  begin<Each extends OfLane>(waiting: readonly Each[]): Each {
    let rounds = Number.POSITIVE_INFINITY
    for (const { lane } of waiting)
      rounds = Math.min(rounds, Math.max(0, Math.floor(-this.#left[lane] / LANE_ROWS[lane]) + 1))
    if (rounds > 0) this.#pass(rounds)
    return this.next(waiting)
  }

  /**
   * Within a batch, which no round ends: the highest lane that has rows left, or else the one whose debt is the fewest rounds.
   *
   * @param among all that have something to give, at least one
   */
  next<Each extends OfLane>(among: readonly Each[]): Each {
    let best = among[0] as Each // there is one
    if (among.length === 1) return best
    for (const each of among) {
      if (this.#left[each.lane] > 0) return each
      if (this.#rounds(each) > this.#rounds(best)) best = each
    }
    return best
  }

  spend(lane: Lane, rows: number): void {
    this.#left[lane] -= rows
  }

  /** Nothing waits any more: nobody owes anything to anybody. */
  reset(): void {
    Object.assign(this.#left, LANE_ROWS)
  }

  #rounds({ lane }: OfLane): number {
    return this.#left[lane] / LANE_ROWS[lane]
  }

  /** Rounds go by for those that do not wait, too: they pay off what they owe. */
  #pass(rounds: number): void {
    for (const lane of LANES)
      this.#left[lane] = Math.min(LANE_ROWS[lane], this.#left[lane] + rounds * LANE_ROWS[lane])
  }
}
