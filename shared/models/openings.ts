import { LONG_RUN_MS } from './slots.ts'

/** What opening a model is thought to take until one was opened, milliseconds. */
const UNKNOWN_MS = 5

/** So many runs make opening a model worth closing another for it. */
const WORTH_RUNS = 8

/**
 * Whether a run waits for a slot that has its model open, or opens it in another: that costs time and memory, once. As
 * with skis, which are rented until the rent has come to their price (Karlin, Manasse, Rudolph and Sleator 1988): a
 * model's runs wait until they have waited as long as opening it takes. So hundreds of models in turn are each open in one
 * slot, and one that is asked for all the time is soon open in all of them.
 */
export class Openings {
  readonly #openMs = new Map<string, number>()
  readonly #waitedMs = new Map<string, number>()
  /** When each model was run last, counted in runs. */
  readonly #ranAt = new Map<string, number>()
  #runs = 0

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

  /** How many runs have begun. */
  get runs(): number {
    return this.#runs
  }

  /** A run of the model begins. @returns how many have by then, of all models */
  ran(key: string): number {
    this.#ranAt.set(key, ++this.#runs)
    return this.#runs
  }

  /**
   * Whether a run may have its model opened where another has to be closed for it, though it is open elsewhere: where it
   * will be run often before it is to be closed itself, going by when both were run last. Of hundreds that are run in turn
   * none will: they would close one another for ever.
   *
   * @param usedAt when the other was used last, counted in runs
   */
  mayReplace(key: string, usedAt: number): boolean {
    const now = this.#runs + 1
    return WORTH_RUNS * (now - (this.#ranAt.get(key) ?? 0)) <= now - usedAt
  }

  /** The model is closed. */
  forget(key: string): void {
    this.#ranAt.delete(key)
    this.#openMs.delete(key)
    this.#waitedMs.delete(key)
  }
}
