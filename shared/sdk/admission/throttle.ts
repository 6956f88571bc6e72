/** What is looked back on, milliseconds. */
const WINDOW_MS = 10_000
const SLICES = 10
const SLICE_MS = WINDOW_MS / SLICES

/**
 * How likely a request is refused by whoever sends it, because few of the last ones were taken: Google's client-side
 * throttling (Beyer et al., Site Reliability Engineering, 2016, chapter 21). Pure.
 *
 * @param asked requests of the last while, those refused here among them
 * @param taken of these, what was accepted
 * @param k how many may be asked for each that is taken
 */
export function throttleShare(asked: number, taken: number, k = 1.5): number {
  return Math.max(0, (asked - k * taken) / (asked + 1))
}

/** What of the last ten seconds was asked, and taken. */
export class Throttle {
  readonly #asked = new Float64Array(SLICES)
  readonly #taken = new Float64Array(SLICES)
  #slice = 0

  /** Something is asked for. @returns how likely it is to be refused, 0 to 1 */
  ask(nowMs: number): number {
    this.#turn(nowMs)
    const share = throttleShare(sum(this.#asked), sum(this.#taken))
    this.#add(this.#asked)
    return share
  }

  /** Something that was asked for was taken. */
  took(nowMs: number): void {
    this.#turn(nowMs)
    this.#add(this.#taken)
  }

  #add(counts: Float64Array): void {
    const at = this.#slice % SLICES
    counts[at] = (counts[at] ?? 0) + 1
  }

  #turn(nowMs: number): void {
    const slice = Math.floor(nowMs / SLICE_MS)
    const first = Math.max(this.#slice + 1, slice - SLICES + 1)
    for (let each = first; each <= slice; each++) {
      this.#asked[each % SLICES] = 0
      this.#taken[each % SLICES] = 0
    }
    this.#slice = Math.max(this.#slice, slice)
  }
}

function sum(counts: Float64Array): number {
  let all = 0
  for (const count of counts) all += count
  return all
}
