interface Waiter {
  readonly sizeBytes: number
  /** The place is taken. */
  readonly proceed: () => void
}

/**
 * Counts what has been accepted and is not settled yet, in messages and bytes. A call that finds it full waits, in
 * order: that is how a producer slows its caller down.
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

  /** Messages and bytes that have a place. */
  get taken(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#messages, bytes: this.#bytes }
  }

  /**
   * Takes a place, waiting for one. A message larger than the whole buffer gets in when it is alone. Rejects with the
   * signal's reason, and has no place then.
   */
  async enter(sizeBytes: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.tryEnter(sizeBytes)) return
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        this.#admit() // the next may be smaller
        reject(signal?.reason)
      }
      const waiter: Waiter = {
        sizeBytes,
        proceed: () => {
          signal?.removeEventListener('abort', giveUp)
          resolve()
        },
      }
      this.#waiters.push(waiter)
      signal?.addEventListener('abort', giveUp, { once: true })
    })
  }

  /** Takes a place if there is one and no earlier call waits for it. */
  tryEnter(sizeBytes: number): boolean {
    if (this.#waiters.length > 0 || !this.#hasRoom(sizeBytes)) return false
    this.#take(sizeBytes)
    return true
  }

  /** Takes places for what is there already, whatever the limits. */
  occupy(messages: number, sizeBytes: number): void {
    this.#messages += messages
    this.#bytes += sizeBytes
  }

  /** Gives a place back, with the size it was taken with. */
  leave(sizeBytes: number): void {
    this.#messages--
    this.#bytes -= sizeBytes
    this.#admit()
    if (this.#observers.size > 0) for (const observe of [...this.#observers]) observe()
  }

  #admit(): void {
    for (let next = this.#waiters[0]; next !== undefined && this.#hasRoom(next.sizeBytes); ) {
      this.#take(next.sizeBytes)
      this.#waiters.shift()
      next.proceed()
      next = this.#waiters[0]
    }
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
