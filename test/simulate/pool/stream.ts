import { type OfLanes, ofLanes } from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { SimEvent } from '../load/event.ts'

/** Whoever pulls. */
export interface Puller {
  /** How many events of each lane it takes now, of those that wait. */
  wants(waiting: OfLanes<number>): OfLanes<number>
  /** Is handed events. @param waiting what waits after that */
  handed(events: readonly SimEvent[], waiting: OfLanes<number>): void
  /** Whether it would take more. */
  readonly isOpen: boolean
}

/** Events of a lane in the order they came. */
class Queue {
  #events: SimEvent[] = []
  #from = 0

  get length(): number {
    return this.#events.length - this.#from
  }

  add(event: SimEvent): void {
    this.#events.push(event)
  }

  take(count: number): readonly SimEvent[] {
    const taken = this.#events.slice(this.#from, this.#from + count)
    this.#from += taken.length
    if (this.#from > 1_024 && 2 * this.#from > this.#events.length) {
      this.#events = this.#events.slice(this.#from)
      this.#from = 0
    }
    return taken
  }
}

/** The work queue: lanes with a bound each, and those who wait for events. */
export class Stream {
  readonly #lanes: OfLanes<Queue> = ofLanes(() => new Queue())
  readonly #mostOfLane: number
  /** Those who pull while nothing waits, the longest first. */
  readonly #idle = new Set<Puller>()

  constructor(mostOfLane: number) {
    this.#mostOfLane = mostOfLane
  }

  get waiting(): OfLanes<number> {
    return ofLanes((lane) => this.#lanes[lane].length)
  }

  /** @returns whether it is stored: `false` where its lane is full */
  store(event: SimEvent): boolean {
    const lane = this.#lanes[event.lane]
    if (lane.length >= this.#mostOfLane) return false
    lane.add(event)
    const [first] = this.#idle
    if (first !== undefined) this.pull(first)
    return true
  }

  /** Hands out what waits, or remembers who asked. */
  pull(puller: Puller): void {
    this.#idle.delete(puller)
    const wanted = puller.wants(this.waiting)
    const events = LANES.flatMap((lane: Lane) => this.#lanes[lane].take(wanted[lane]))
    if (events.length > 0) puller.handed(events, this.waiting)
    if (puller.isOpen) this.#idle.add(puller)
  }
}
