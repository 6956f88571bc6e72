/** What is looked back on, milliseconds: long enough to see few events, short enough to be over soon after the trouble is. */
const WINDOW_MS = 4_000
const SLICES = 10
const SLICE_MS = WINDOW_MS / SLICES
/** So long after the last one that was let by, one more is, whatever became of the others: or nobody would see that it is over. */
const PROBE_MS = 1_000

/** How many may be sent for each that is taken. */
const FOR_EACH_TAKEN = 2
/** So many may fail before any is refused. */
const FREE = 5

/**
 * How likely a request is refused by whoever sends it, because few of the last ones were taken: Google's client-side
 * throttling (Beyer et al., Site Reliability Engineering, 2016, chapter 21), with the free ones of go-zero
 * (core/breaker/googlebreaker.go). Pure.
 *
 * @param ended requests of the last while of which is known what became, those refused here among them
 * @param taken of these, what was accepted
 * @returns 0 to 1
 */
export function throttleShare(ended: number, taken: number): number {
  return Math.max(0, (ended - FREE - FOR_EACH_TAKEN * taken) / (ended + 1))
}

/** What of the last seconds was taken. What is under way counts for nothing: its fate is not known. */
export class Throttle {
  readonly #ended = new Float64Array(SLICES)
  readonly #taken = new Float64Array(SLICES)
  #slice = 0
  #letByAtMs = Number.NEGATIVE_INFINITY

  /** How likely one more is to be refused, 0 to 1. @param nowMs of a clock that never goes back */
  share(nowMs: number): number {
    this.#turn(nowMs)
    return nowMs - this.#letByAtMs >= PROBE_MS ? 0 : throttleShare(sum(this.#ended), sum(this.#taken))
  }

  /** One more was let by. */
  letBy(nowMs: number): void {
    this.#letByAtMs = nowMs
  }

  /** One was taken, or was not: by whom it was sent to, or here already. */
  ended(isTaken: boolean, nowMs: number): void {
    this.#turn(nowMs)
    add(this.#ended, this.#slice)
    if (isTaken) add(this.#taken, this.#slice)
  }

  #turn(nowMs: number): void {
    const slice = Math.floor(nowMs / SLICE_MS)
    const first = Math.max(this.#slice + 1, slice - SLICES + 1)
    for (let each = first; each <= slice; each++) {
      this.#ended[each % SLICES] = 0
      this.#taken[each % SLICES] = 0
    }
    this.#slice = Math.max(this.#slice, slice)
  }
}

function add(counts: Float64Array, slice: number): void {
  const at = slice % SLICES
  counts[at] = (counts[at] ?? 0) + 1
}

function sum(counts: Float64Array): number {
  let all = 0
  for (const count of counts) all += count
  return all
}
