/** So many places of taken items are kept at least before they are given back. */
const SPENT = 64

/** Items on their way to an iterating caller. Its writer keeps it bounded by waiting in {@link ResultQueue.shorterThan}. */
export class ResultQueue<Item extends object> {
  /** The places before the first are empty, their items were taken: taking one moves no other. */
  #items: (Item | undefined)[] = []
  #first = 0
  #changed: (() => void)[] = []
  #ended: { readonly error: Error | undefined } | undefined

  get length(): number {
    return this.#items.length - this.#first
  }

  /** What waits, oldest first. */
  items(): Iterable<Item> {
    return this.#waiting()
  }

  push(item: Item): void {
    this.#items.push(item)
    this.#ring()
  }

  /** Takes all that waits. */
  clear(): Item[] {
    const items = this.#waiting()
    this.#items = []
    this.#first = 0
    return items
  }

  /** Ends the queue: readers get what is left, then the error, if there is one, or the end. */
  end(error?: Error): void {
    this.#ended ??= { error }
    this.#ring()
  }

  /** The next item, or `undefined` at the end. @throws the error the queue was ended with */
  async next(): Promise<Item | undefined> {
    for (;;) {
      const item = this.#shift()
      if (item !== undefined) return item
      if (this.#ended?.error !== undefined) throw this.#ended.error
      if (this.#ended !== undefined) return undefined
      await this.#change()
    }
  }

  /** Up to `maxItems`, or what came within `maxWaitMs` of the first; empty at the end. @throws as {@link next} */
  async batch(maxItems: number, maxWaitMs: number): Promise<Item[]> {
    const first = await this.next()
    if (first === undefined) return []
    const batch: Item[] = [first]
    let isOver = false
    const timer = setTimeout(() => {
      isOver = true
      this.#ring()
    }, maxWaitMs)
    while (batch.length < maxItems) {
      const item = this.#shift()
      if (item !== undefined) batch.push(item)
      else if (isOver || this.#ended !== undefined) break
      else await this.#change()
    }
    clearTimeout(timer)
    return batch
  }

  /** Resolves once fewer than `length` items wait, or the queue has ended. */
  async shorterThan(length: number): Promise<void> {
    while (this.length >= length && this.#ended === undefined) await this.#change()
  }

  #waiting(): Item[] {
    return this.#items.slice(this.#first) as Item[] // no empty places from there on
  }

  #shift(): Item | undefined {
    const item = this.#items[this.#first]
    if (item === undefined) return undefined
    this.#items[this.#first++] = undefined // a result may be large, and the next far away
    if (this.#first >= SPENT && 2 * this.#first >= this.#items.length) {
      this.#items = this.#items.slice(this.#first)
      this.#first = 0
    }
    this.#ring()
    return item
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve))
  }

  #ring(): void {
    const changed = this.#changed
    this.#changed = []
    for (const resolve of changed) resolve()
  }
}
