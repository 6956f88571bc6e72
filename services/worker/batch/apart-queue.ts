import type { Batch, Prepared } from '../prepare/prepared.ts'

/** Models that may run apart at the same time: each has a process. The others wait for their turn. */
const MAX_AT_ONCE = 2

/** Events that may wait: each run may take as long as its model may, and what waits takes room of others. */
const MOST_WAITING = 16

/** Events of models that run apart: one at a time of each model, a few models at once. */
export class ApartQueue {
  readonly #start: (batch: Batch) => void
  /** By key of the model, the one whose turn comes next first. */
  readonly #waiting = new Map<string, Prepared[]>()
  readonly #running = new Map<string, Batch>()
  /** Events that wait. */
  #count = 0

  /** @param start starts the run of one event, which has its turn until it is freed */
  constructor(start: (batch: Batch) => void) {
    this.#start = start
  }

  /** @returns whether it is taken: enough may wait already */
  add(event: Prepared): boolean {
    const { key } = event.model
    if (this.#count >= MOST_WAITING) return false
    this.#count++
    this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), event])
    this.#next()
    return true
  }

  /** The run of an event is over. */
  free(batch: Batch): void {
    const key = batch[0]?.model.key
    if (key === undefined || this.#running.get(key) !== batch) return
    this.#running.delete(key)
    // It has had its turn: its next event comes after those of other models.
    const rest = this.#waiting.get(key)
    if (rest !== undefined && this.#waiting.delete(key)) this.#waiting.set(key, rest)
    this.#next()
  }

  /** Takes out what waits for its turn. */
  removeAll(): Prepared[] {
    const removed = [...this.#waiting.values()].flat()
    this.#waiting.clear()
    this.#count = 0
    return removed
  }

  #next(): void {
    for (const [key, [event, ...rest]] of this.#waiting) {
      if (this.#running.size >= MAX_AT_ONCE) return
      if (event === undefined || this.#running.has(key)) continue
      if (rest.length > 0) this.#waiting.set(key, rest)
      else this.#waiting.delete(key)
      this.#count--
      const batch = [event]
      this.#running.set(key, batch)
      this.#start(batch)
    }
  }
}
