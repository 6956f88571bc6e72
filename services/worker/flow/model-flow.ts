import type { ServedModel } from '../../../shared/models/repository.ts'
import { LaneRates } from '../../../shared/sdk/admission/lane-rates.ts'
import { SourceRates } from '../../../shared/sdk/admission/source-rates.ts'
import { type OfLanes, ofLanes } from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { ShortDeadlines } from './short-deadlines.ts'

/** Where a lane stands in what is counted by lane. */
export const LANE_AT: Readonly<Record<Lane, number>> = { high: 0, normal: 1, low: 2 }

/** A count for each lane. */
export const newCounts = (): Float64Array => new Float64Array(LANES.length)

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
  /** Keys of the versions that came. */
  readonly keys = new Set<string>()
  /** Events that were delivered, by lane. */
  readonly delivered = newCounts()
  /** Events a second that were delivered, of the last moments. */
  readonly handed = new LaneRates()
  /** Rows that are held and not run yet, by lane: counted anew each time. */
  readonly held = newCounts()
  readonly ran = new RanRows()
  /** What ran apart, in a process of its own. */
  readonly ranApart = new RanRows()
  readonly sources = new SourceRates()
  readonly #deadlines: (ShortDeadlines | undefined)[] = []
  #lastKey = ''
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
    count(this.delivered, LANE_AT[lane])
    this.handed.came(lane, 1)
    this.isFresh = true
  }

  /** An event that can be run has so many rows. @param key of its version; @returns whether that is new */
  read(key: string, rows: number): boolean {
    this.#events++
    this.#rows += rows
    if (key === this.#lastKey) return false
    this.#lastKey = key
    const isNew = !this.keys.has(key)
    this.keys.add(key)
    return isNew
  }

  /** @param lane where it stands; `weight` how many events it stands for */
  brought(lane: number, deadlineMs: number, weight: number): void {
    const deadlines = this.#deadlines[lane] ?? new ShortDeadlines()
    this.#deadlines[lane] = deadlines
    deadlines.brought(deadlineMs, weight)
  }

  get rowsPerEvent(): number {
    return this.#events > 0 ? this.#rows / this.#events : 1
  }

  /** Milliseconds; 0 for lanes whose events bring none. */
  get deadlineMs(): OfLanes<number> {
    return ofLanes((lane) => Math.round(this.#deadlines[LANE_AT[lane]]?.shortMs ?? 0))
  }

  /** Everything so far counts so much less. */
  fade(by: number): void {
    fadeCounts(this.delivered, by)
    for (const deadlines of this.#deadlines) deadlines?.fade(by)
    this.ran.fade(by)
    this.ranApart.fade(by)
    this.#events *= by
    this.#rows *= by
  }
}

export function fadeCounts(counts: Float64Array, by: number): void {
  for (let at = 0; at < counts.length; at++) counts[at] = (counts[at] ?? 0) * by
}

/** One more, or so many. */
export function count(counts: Float64Array, at: number, more = 1): void {
  counts[at] = (counts[at] ?? 0) + more
}
