import { Heap, type Ranked } from '../../../services/worker/batch/heap.ts'

interface Entry extends Ranked {
  readonly act: () => void
}

/** Virtual time: what is to happen happens in order of its time, and nothing takes any between. */
export class Agenda {
  readonly #entries = new Heap<Entry>()
  #nowMs = 0

  /** Milliseconds since the beginning. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Does something after a while, milliseconds. */
  in(ms: number, act: () => void): void {
    this.at(this.#nowMs + ms, act)
  }

  /** Does something at a time; at once where it has passed. */
  at(ms: number, act: () => void): void {
    this.#entries.add({ rank: Math.max(ms, this.#nowMs), place: -1, act })
  }

  /** Until nothing is left to happen. */
  run(): void {
    for (let next = this.#entries.first; next !== undefined; next = this.#entries.first) {
      this.#entries.remove(next)
      this.#nowMs = next.rank
      next.act()
    }
  }
}
