import { LONG_RUN_MS } from './slots.ts'

/** What opening a model is thought to take until one was opened, milliseconds. */
const UNKNOWN_MS = 5

/**
 * Whether a run waits for a slot that has its model open, or opens it in another: that costs time and memory, once. As
 * with skis, which are rented until the rent has come to their price (Karlin, Manasse, Rudolph and Sleator 1988): a
 * model's runs wait until they have waited as long as opening it takes. So hundreds of models in turn are each open in one
 * slot, and one that is asked for all the time is soon open in all of them.
 */
export class Openings {
  readonly #openMs = new Map<string, number>()
  readonly #waitedMs = new Map<string, number>()

  /** Opening the model of this key took so long, milliseconds. */
  opened(key: string, openMs: number): void {
    this.#openMs.set(key, openMs)
    this.#waitedMs.delete(key)
  }

  /** How long a run may wait now for a slot that has its model open, milliseconds. */
  patienceMs(key: string): number {
    const openMs = Math.min(this.#openMs.get(key) ?? UNKNOWN_MS, LONG_RUN_MS)
    return Math.max(0, openMs - (this.#waitedMs.get(key) ?? 0))
  }

  /** A run waited so long for such a slot while another was idle, milliseconds. One that did not shows that few do. */
  waited(key: string, waitedMs: number): void {
    const before = this.#waitedMs.get(key) ?? 0
    if (waitedMs > 0) this.#waitedMs.set(key, before + waitedMs)
    else if (before > 0) this.#waitedMs.set(key, before / 2)
  }

  /** The model is closed. */
  forget(key: string): void {
    this.#openMs.delete(key)
    this.#waitedMs.delete(key)
  }
}
