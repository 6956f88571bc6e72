/** How long the delay must not have been short for a queue to stand, milliseconds. */
const INTERVAL_MS = 100
/** While it stands, what is older than so many targets goes. */
const SLOUGH = 2

/**
 * CoDel in the form of Facebook: a queue is overloaded for an interval if the least delay of the one before was above the
 * target; then whatever is older than twice the target goes. No first event of an interval goes, and no drop makes the next
 * come sooner (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012; folly/executors/Codel.cpp).
 */
export class Codel {
  #endsAtMs = Number.NEGATIVE_INFINITY
  #leastDelay = 0
  #isOverloaded = false

  /**
   * An event leaves the queue.
   *
   * @param delay how long it has waited, in targets: targets may differ from one event to the next
   * @param nowMs milliseconds of any clock
   * @returns whether it is to be given up
   */
  isToGo(delay: number, nowMs: number): boolean {
    if (nowMs > this.#endsAtMs) {
      this.#isOverloaded = this.#leastDelay > 1
      this.#endsAtMs = nowMs + INTERVAL_MS
      this.#leastDelay = delay
      return false
    }
    this.#leastDelay = Math.min(this.#leastDelay, delay)
    return this.#isOverloaded && delay > SLOUGH
  }
}
