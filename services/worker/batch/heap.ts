/** What a heap keeps in order. Its rank changes while it is outside of one, or through {@link Heap.moved}. */
export interface Ranked {
  rank: number
  /** Where it is in its heap, for the heap alone; -1 outside. */
  place: number
}

/** A binary heap (Williams 1964) whose items know their places, so that any of them is moved or taken out in O(log n). */
export class Heap<Item extends Ranked> {
  readonly #items: Item[] = []

  /** The item of the lowest rank. */
  get first(): Item | undefined {
    return this.#items[0]
  }

  has(item: Item): boolean {
    return item.place >= 0 && this.#items[item.place] === item
  }

  /** The item must be in no heap. */
  add(item: Item): void {
    item.place = this.#items.length
    this.#items.push(item)
    this.#rise(item)
  }

  /** Takes an item out that is in here. */
  remove(item: Item): void {
    const last = this.#items.pop() as Item // it holds one at least
    const { place } = item
    item.place = -1
    if (last === item) return
    this.#put(last, place)
    this.moved(last)
  }

  /** The rank of an item that is in here has changed. */
  moved(item: Item): void {
    this.#rise(item)
    this.#sink(item)
  }

  #rise(item: Item): void {
    for (let above = this.#items[(item.place - 1) >> 1]; above !== undefined && above.rank > item.rank; ) {
      this.#swap(above, item)
      above = this.#items[(item.place - 1) >> 1]
    }
  }

  #sink(item: Item): void {
    for (let below = this.#leastBelow(item); below !== undefined && below.rank < item.rank; ) {
      this.#swap(item, below)
      below = this.#leastBelow(item)
    }
  }

  #leastBelow({ place }: Item): Item | undefined {
    const left = this.#items[2 * place + 1]
    const right = this.#items[2 * place + 2]
    return left !== undefined && right !== undefined && right.rank < left.rank ? right : left
  }

  #swap(above: Item, below: Item): void {
    const { place } = above
    this.#put(above, below.place)
    this.#put(below, place)
  }

  #put(item: Item, place: number): void {
    item.place = place
    this.#items[place] = item
  }
}
