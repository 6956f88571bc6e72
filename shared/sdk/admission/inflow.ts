import type { OfLanes } from '../contract/flow.ts'
import type { Lane } from '../contract/subjects.ts'
import type { PoolFlow } from './heard-flow.ts'

/** How long what was learned stays, milliseconds: an average that forgets exponentially. */
const REMEMBERED_MS = 300
/** A longer silence between two words tells no more than one of this length, milliseconds. */
const MOST_BETWEEN_MS = 1_000
/** Workers had something to do all the time between two words where this part of what they can do lay there at both, together. */
const BUSY_SHARE = 0.5
/** No door is smaller: a single event would stand for too many. */
const LEAST_SHARE = 0.01

/** Which part of what comes in by some lanes one door lets in. */
class Part {
  /** Rows that waited at the last word. */
  #aheadRows = 0
  /** Averages of the rows between two words: of this door, and of all. */
  #own = 0
  #all = 0

  /** Above 0 and up to 1. */
  get share(): number {
    return this.#all > 0 ? Math.max(LEAST_SHARE, this.#own / this.#all) : 1
  }

  /**
   * A word came.
   *
   * @param own rows let in since the last one; `aheadRows` that wait; `doneRows` that workers can do meanwhile; `weight` of this word
   */
  learn(own: number, aheadRows: number, doneRows: number, weight: number): void {
    const isBusy = aheadRows + this.#aheadRows >= BUSY_SHARE * doneRows
    // Of workers that have time nobody knows what they did: then this door counts for all, and what it lets in for little.
    const all = isBusy ? Math.max(own, aheadRows - this.#aheadRows + doneRows) : own
    this.#own += weight * (own - this.#own)
    this.#all += weight * (all - this.#all)
    this.#aheadRows = aheadRows
  }

  /** The first word says what waited before: nobody knows since when. */
  begin(aheadRows: number): void {
    this.#aheadRows = aheadRows
  }
}

/**
 * What comes in at all doors, as one of them can tell: what it lets in itself, and which part of all that is, by how what
 * waits grows between two words of the flow. Doors alike so count each other in without a word between them. Lane `low` is
 * looked at with the others and they without it: what is filled in there is nothing to them.
 */
export class Inflow {
  /** Rows this door let in since the last word, by lane. */
  #since: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  #wordAtMs: number | undefined
  readonly #parts = { normal: new Part(), low: new Part() }

  letIn(lane: Lane, rows: number): void {
    this.#since[lane] += rows
  }

  /** A worker said what waits: that knows what was let in before. */
  heard({ aheadRows, drainRows }: PoolFlow, nowMs: number): void {
    const betweenMs = Math.min(MOST_BETWEEN_MS, nowMs - (this.#wordAtMs ?? nowMs))
    if (this.#wordAtMs === undefined) for (const lane of SHARED) this.#parts[lane].begin(aheadRows[lane])
    else if (betweenMs > 0) this.#learn(aheadRows, drainRows, betweenMs)
    this.#wordAtMs = nowMs
    this.#since = { high: 0, normal: 0, low: 0 }
  }

  /** Which part of all that comes in above lane `low` this door lets in, above 0 and up to 1. */
  get share(): number {
    return this.#parts.normal.share
  }

  /** Rows that this door let in since the last word and that are ahead of one more of a lane. */
  ownRows(lane: Lane): number {
    const { high, normal, low } = this.#since
    return high + (lane === 'high' ? 0 : normal) + (lane === 'low' ? low : 0)
  }

  /** Rows that came in at all doors since the last word and are ahead of one more of a lane. */
  sinceRows(lane: Lane): number {
    const own = this.ownRows(lane)
    // One event would stand for many: what other doors let in of the highest lane is seen at the next word, and refused last.
    return lane === 'high' ? own : own / this.#parts[lane].share
  }

  #learn(aheadRows: OfLanes<number>, drainRows: number, betweenMs: number): void {
    const weight = 1 - Math.exp(-betweenMs / REMEMBERED_MS)
    const doneRows = (drainRows * betweenMs) / 1_000
    for (const lane of SHARED) this.#parts[lane].learn(this.ownRows(lane), aheadRows[lane], doneRows, weight)
  }
}

/** Lanes of which a door learns its part: with all above them. */
const SHARED = ['normal', 'low'] as const
