/**
 * Works that are begun one after another and awaited together. What falls before it is awaited is kept until then, and what
 * comes in the way of one harms no other.
 */
export class Together {
  readonly #works: Promise<void>[] = []
  readonly #defects: unknown[] = []

  add(work: Promise<void>): void {
    const kept = work.catch((thrown: unknown) => {
      if (isAbort(thrown)) throw thrown
      this.#defects.push(thrown)
    })
    kept.catch(() => undefined) // `ended` tells of it
    this.#works.push(kept)
  }

  /**
   * Resolves once all have ended.
   *
   * @throws AbortError as soon as one was stopped; otherwise the first defect, once all have ended
   */
  async ended(): Promise<void> {
    await Promise.all(this.#works)
    if (this.#defects.length > 0) throw this.#defects[0]
  }
}

/** Whether a work was stopped, and nothing is wrong with it. */
export function isAbort(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'AbortError'
}
