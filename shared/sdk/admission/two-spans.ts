/** What is counted in the span of time that runs, and what was in the one before it; nothing of either is older than two spans. */
export class TwoSpans<Counted> {
  readonly #spanMs: number
  readonly #begin: () => Counted
  #now: Counted
  #before: Counted
  #since = Number.NEGATIVE_INFINITY

  /** @param begin what is counted at the beginning of a span: nothing */
  constructor(spanMs: number, begin: () => Counted) {
    this.#spanMs = spanMs
    this.#begin = begin
    this.#now = begin()
    this.#before = begin()
  }

  get now(): Counted {
    return this.#now
  }

  get before(): Counted {
    return this.#before
  }

  /** Begins another span where this one is over. @param nowMs of a clock that never goes back */
  turn(nowMs: number): void {
    const passedMs = nowMs - this.#since
    if (passedMs < this.#spanMs) return
    this.#before = passedMs < 2 * this.#spanMs ? this.#now : this.#begin()
    this.#now = this.#begin()
    this.#since = nowMs
  }

  /** Which part of the span that runs is over at that time, from 0 to 1. */
  goneAt(nowMs: number): number {
    return Math.min(1, (nowMs - this.#since) / this.#spanMs)
  }
}
