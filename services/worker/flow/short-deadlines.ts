/** Buckets for each doubling of a deadline: in one lie deadlines that differ by a tenth at most. */
const PER_DOUBLING = 8
/** Doublings of a millisecond: up to more than a day. */
const DOUBLINGS = 27
const LAST = PER_DOUBLING * DOUBLINGS
/** Of the deadlines so many may be shorter: a single odd event does not decide for all. */
const SHORTER = 0.05
/** Of less than this nothing is known any more: it faded. */
const FADED = 1e-3

/** How short the deadlines are that events brought lately: a histogram with buckets that grow, and fade. */
export class ShortDeadlines {
  readonly #counts = new Float64Array(LAST + 1)
  readonly #sums = new Float64Array(LAST + 1)

  /** @param deadlineMs from when the event was stored, more than 0; `weight` how many events it stands for */
  brought(deadlineMs: number, weight = 1): void {
    const at = Math.min(LAST, Math.max(0, Math.floor(PER_DOUBLING * Math.log2(deadlineMs))))
    this.#counts[at] = (this.#counts[at] ?? 0) + weight
    this.#sums[at] = (this.#sums[at] ?? 0) + weight * deadlineMs
  }

  /** Everything so far counts so much less. */
  fade(by: number): void {
    for (let at = 0; at <= LAST; at++) {
      this.#counts[at] = (this.#counts[at] ?? 0) * by
      this.#sums[at] = (this.#sums[at] ?? 0) * by
    }
  }

  /** The deadline that one in twenty is shorter than, milliseconds; 0 while none was brought. */
  get shortMs(): number {
    let all = 0
    for (const count of this.#counts) all += count
    if (all < FADED) return 0
    let shorter = 0
    for (let at = 0; at <= LAST; at++) {
      const count = this.#counts[at] ?? 0
      shorter += count
      if (shorter >= SHORTER * all && count > 0) return (this.#sums[at] ?? 0) / count
    }
    return 0
  }
}
