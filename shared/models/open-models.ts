/**
 * The models that a thread has open, as the main thread knows it: the one used least recently is closed first, by the
 * thread itself, which says so.
 */
export class OpenModels {
  /** When each was used last, counted in runs of all models; in this order. */
  readonly #used = new Map<string, number>()
  /** How many were left when one was closed for want of room last. */
  #most = Number.POSITIVE_INFINITY

  get size(): number {
    return this.#used.size
  }

  has(key: string): boolean {
    return this.#used.has(key)
  }

  /** A model is used, opened where it is not. */
  use(key: string, at: number): void {
    this.#used.delete(key)
    this.#used.set(key, at)
  }

  /** A model was closed, as it was told to. @returns whether it was open */
  delete(key: string): boolean {
    return this.#used.delete(key)
  }

  /** The thread has closed a model for want of room. */
  closed(key: string): void {
    this.#used.delete(key)
    this.#most = this.size
  }

  /** When the model was used last that is closed for one more; undefined while there is room, as far as is known. */
  get nextToGo(): number | undefined {
    if (this.size < this.#most) return undefined
    const [oldest] = this.#used.values()
    return oldest
  }
}
