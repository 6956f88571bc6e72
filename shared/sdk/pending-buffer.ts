interface Waiter {
  readonly sizeBytes: number
  readonly proceed: () => void
}

/**
 * Counts what has been accepted and is not settled yet, in messages and bytes. Whoever finds it full waits, in order:
 * that is how a producer slows its caller down.
 */
export class PendingBuffer {
  readonly #maxMessages: number
  readonly #maxBytes: number
  readonly #waiters: Waiter[] = []
  readonly #observers = new Set<() => void>()
  #messages = 0
  #bytes = 0

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages
    this.#maxBytes = maxBytes
  }

  /** Messages accepted or waiting to be. */
  get size(): number {
    return this.#messages + this.#waiters.length
  }

  /** Takes a place, waiting for one. A message larger than the whole buffer gets in when it is alone. */
  async enter(sizeBytes: number): Promise<void> {
    if (this.#waiters.length > 0 || !this.#hasRoom(sizeBytes))
      return new Promise((proceed) => this.#waiters.push({ sizeBytes, proceed }))
    this.#take(sizeBytes)
  }

  /** Gives a place back, with the size it was taken with. */
  leave(sizeBytes: number): void {
    this.#messages--
    this.#bytes -= sizeBytes
    for (let next = this.#waiters[0]; next !== undefined && this.#hasRoom(next.sizeBytes); ) {
      this.#take(next.sizeBytes)
      this.#waiters.shift()
      next.proceed()
      next = this.#waiters[0]
    }
    for (const observe of [...this.#observers]) observe()
  }

  /** Resolves when a message of ordinary size would get in at once. */
  ready(): Promise<void> {
    return this.#until(() => this.#waiters.length === 0 && this.#hasRoom(0))
  }

  /** Resolves when nothing is pending. */
  idle(): Promise<void> {
    return this.#until(() => this.size === 0)
  }

  #hasRoom(sizeBytes: number): boolean {
    if (this.#messages === 0) return true
    return this.#messages < this.#maxMessages && this.#bytes + sizeBytes <= this.#maxBytes
  }

  #take(sizeBytes: number): void {
    this.#messages++
    this.#bytes += sizeBytes
  }

  async #until(isSo: () => boolean): Promise<void> {
    if (isSo()) return
    return new Promise((resolve) => {
      const observe = (): void => {
        if (!isSo()) return
        this.#observers.delete(observe)
        resolve()
      }
      this.#observers.add(observe)
    })
  }
}
