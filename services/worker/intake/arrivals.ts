import { TURN_BYTES, type Turns } from '../../../shared/runtime/turns.ts'
import { type Frame, frameBytes } from '../../../shared/sdk/jetstream/frame.ts'

/** What receiving a message costs the loop, in bytes: of a large one, its headers. */
function workOf(message: Frame): number {
  const bytes = frameBytes(message)
  return bytes > TURN_BYTES ? bytes - message.data.length : bytes
}

/** A message that came, and how old it can be. */
export interface Arrival {
  readonly message: Frame
  /** The broker handed it out no earlier, milliseconds of this worker's clock. */
  readonly sentSince: number
}

/**
 * Messages on their way from the intake: what came in one turn of the loop is worked off in slices of no more than a
 * turn may hold, in the order it came.
 */
export class Arrivals {
  readonly #turns: Turns
  readonly #onSlice: (arrivals: readonly Arrival[]) => void
  #waiting: Arrival[] = []
  #isWorking = false

  /** @param onSlice must not throw */
  constructor(turns: Turns, onSlice: (arrivals: readonly Arrival[]) => void) {
    this.#turns = turns
    this.#onSlice = onSlice
  }

  /** Whether nothing waits for its slice. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** What fits into this turn is handed over at once. @param sentSince of all of them */
  add(messages: readonly Frame[], sentSince: number): void {
    for (const message of messages) this.#waiting.push({ message, sentSince })
    if (this.#isWorking) return
    this.#handOver()
    if (this.#waiting.length > 0) void this.#workOff()
  }

  /** Hands over at once whatever waits. */
  flush(): void {
    if (this.#waiting.length > 0) this.#onSlice(this.#waiting.splice(0))
  }

  async #workOff(): Promise<void> {
    this.#isWorking = true
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      await this.#turns.spend(workOf(first.message))
      this.#handOver(1)
    }
    this.#isWorking = false
  }

  /** @param taken of the first, those whose work is counted already */
  #handOver(taken = 0): void {
    let count = taken
    for (let next = this.#waiting[count]; next !== undefined; next = this.#waiting[count]) {
      if (!this.#turns.take(workOf(next.message))) break
      count++
    }
    const slice = this.#waiting.splice(0, count)
    if (slice.length > 0) this.#onSlice(slice)
  }
}
