import type { ServedModel } from '../../../shared/models/repository.ts'
import { LaneRates } from '../../../shared/sdk/admission/lane-rates.ts'
import { SourceRates } from '../../../shared/sdk/admission/source-rates.ts'
import { type OfLanes, ofLanes } from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { ShortDeadlines } from './short-deadlines.ts'

/** What is counted of one lane. */
class LaneFlow {
  /** Events that were delivered. */
  delivered = 0
  /** Rows that are held and not run yet: counted anew each time. */
  held = 0
  #deadlines: ShortDeadlines | undefined

  /** @param weight how many events it stands for */
  brought(deadlineMs: number, weight: number): void {
    this.#deadlines ??= new ShortDeadlines()
    this.#deadlines.brought(deadlineMs, weight)
  }

  /** Milliseconds; 0 where events bring none. */
  get deadlineMs(): number {
    return Math.round(this.#deadlines?.shortMs ?? 0)
  }

  fade(by: number): void {
    this.delivered *= by
    this.#deadlines?.fade(by)
  }
}

export const newLanes = (): OfLanes<LaneFlow> => ofLanes(() => new LaneFlow())

export function fadeLanes(lanes: OfLanes<LaneFlow>, by: number): void {
  for (const lane of LANES) lanes[lane].fade(by)
}

/** Rows that ran, and how long that took, milliseconds. */
class RanRows {
  rows = 0
  busyMs = 0

  add(rows: number, busyMs: number): void {
    this.rows += rows
    this.busyMs += busyMs
  }

  fade(by: number): void {
    this.rows *= by
    this.busyMs *= by
  }
}

/** What is counted of one model. Counts fade together, so that each stands for lately, and so does one by another. */
export class ModelFlow {
  readonly name: string
  /** The version that answers events that name none. */
  served: ServedModel
  readonly lanes = newLanes()
  /** Events a second that were delivered, of the last moments. */
  readonly handed = new LaneRates()
  readonly ran = new RanRows()
  /** What ran apart, in a process of its own. */
  readonly ranApart = new RanRows()
  readonly sources = new SourceRates()
  #events = 0
  #rows = 0
  /** Whether something came or ran since it was looked at. */
  isFresh = true
  activeAtMs: number

  constructor(served: ServedModel, nowMs: number) {
    this.name = served.name
    this.served = served
    this.activeAtMs = nowMs
  }

  /** An event was delivered. */
  came(lane: Lane): void {
    this.lanes[lane].delivered++
    this.handed.came(lane, 1)
    this.isFresh = true
  }

  /** An event that can be run has so many rows. */
  read(rows: number): void {
    this.#events++
    this.#rows += rows
  }

  get rowsPerEvent(): number {
    return this.#events > 0 ? this.#rows / this.#events : 1
  }

  /** Everything so far counts so much less. */
  fade(by: number): void {
    fadeLanes(this.lanes, by)
    this.ran.fade(by)
    this.ranApart.fade(by)
    this.#events *= by
    this.#rows *= by
  }
}
