import { LANE_ROWS, type OfLanes } from '../../../shared/sdk/contract/flow.ts'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import type { SimEvent } from '../load/event.ts'

/** Why an event ends without a run. */
export type Ending = 'deadline-exceeded'

/** What of the events a worker holds runs next, and what ends without. */
export interface Choice {
  readonly run: readonly SimEvent[]
  readonly end: readonly { readonly event: SimEvent; readonly ending: Ending }[]
  /** What is held yet. */
  readonly rest: SimEvent[]
}

export interface Choosing {
  readonly nowMs: number
  readonly mostRows: number
}

/** Which events a worker takes, and in which order it runs them. One for each worker: it may remember. */
export interface Order {
  /** How many events of each lane are pulled, where so many wait and there is room for so many. */
  pull(room: number, waiting: OfLanes<number>): OfLanes<number>
  choose(held: SimEvent[], choosing: Choosing): Choice
}

/** Lanes by weighted round robin; of what is held the earliest deadline first; what has expired ends without a run. */
export class LanesOrder implements Order {
  #at = 0
  #left = LANE_ROWS[LANES[0]]

  pull(room: number, waiting: OfLanes<number>): OfLanes<number> {
    const pulled = { high: 0, normal: 0, low: 0 }
    let rows = room
    for (let empty = 0; rows > 0 && empty < LANES.length; ) {
      const lane = LANES[this.#at] ?? LANES[0]
      const taken = Math.min(rows, this.#left, waiting[lane] - pulled[lane])
      pulled[lane] += taken
      rows -= taken
      this.#left -= taken
      empty = taken > 0 ? 0 : empty + 1
      if (rows > 0 || this.#left === 0) this.#next()
    }
    return pulled
  }

  choose(held: SimEvent[], { nowMs, mostRows }: Choosing): Choice {
    held.sort((one, other) => one.endsAtMs - other.endsAtMs)
    const expired = held.findIndex(({ endsAtMs }) => endsAtMs > nowMs)
    const from = expired < 0 ? held.length : expired
    const end = held.slice(0, from).map((event) => ({ event, ending: 'deadline-exceeded' }) as const)
    return { end, run: held.slice(from, from + mostRows), rest: held.slice(from + mostRows) }
  }

  #next(): void {
    this.#at = (this.#at + 1) % LANES.length
    this.#left = LANE_ROWS[LANES[this.#at] ?? LANES[0]]
  }
}
