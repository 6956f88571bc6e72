import type { SourceShare } from './fair-time.ts'
import type { Ranked } from './heap.ts'

/** An item that waits for its run. */
export interface Waiting<Item> {
  readonly item: Item
  /** When it came, milliseconds. */
  readonly at: number
  /** What its place among those of its source goes by, milliseconds of broker time: its deadline, or a far one. */
  readonly due: number
}

/** That much may stand before the first item before it is cleared away. */
const MOST_GONE = 32

/**
 * What waits of one source, of one kind and lane: earliest deadline first, among equals in the order they came. Each place has
 * its start in fair time: an item that is put before others takes theirs, and costs other sources nothing. Its rank is the
 * first start.
 */
export class SourceQueue<Item> implements Ranked {
  readonly source: string
  readonly share: SourceShare
  rank = 0
  place = -1
  /** What has gone stands in front as undefined, so that taking one moves nothing. */
  readonly #items: (Waiting<Item> | undefined)[] = []
  readonly #starts: number[] = []
  #head = 0

  constructor(source: string, share: SourceShare) {
    this.source = source
    this.share = share
  }

  /** Undefined where it is empty. */
  get first(): Waiting<Item> | undefined {
    return this.#items[this.#head]
  }

  /** @param start of the last place from now on: no earlier than any before */
  add(waiting: Waiting<Item>, start: number): void {
    const place = this.#placeOf(waiting.due)
    if (place === this.#items.length) this.#items.push(waiting)
    else this.#items.splice(place, 0, waiting)
    this.#starts.push(start)
    this.rank = this.#starts[this.#head] as number // there is one now
  }

  /** Takes the first item, which there must be. */
  shift(): Waiting<Item> {
    const first = this.#items[this.#head] as Waiting<Item>
    this.#items[this.#head++] = undefined
    const isEmpty = this.#head === this.#items.length
    if (isEmpty || (this.#head >= MOST_GONE && 2 * this.#head >= this.#items.length)) this.#clearAway()
    this.rank = this.#starts[this.#head] ?? this.rank
    return first
  }

  /** The start of an item that is due then, if it came now; undefined where it would be the last. */
  startOf(due: number): number | undefined {
    return this.#starts[this.#placeOf(due)]
  }

  /** When the one that waits longest came; infinity where it is empty. */
  since(): number {
    let since = Number.POSITIVE_INFINITY
    for (let place = this.#head; place < this.#items.length; place++)
      since = Math.min(since, this.#items[place]?.at ?? since)
    return since
  }

  /** Behind all that are due no later: nearly always the last, else found by halving. */
  #placeOf(due: number): number {
    let [low, high] = [this.#head, this.#items.length]
    if (high > low && this.#dueAt(high - 1) <= due) return high
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#dueAt(middle) <= due) low = middle + 1
      else high = middle
    }
    return low
  }

  #dueAt(place: number): number {
    return (this.#items[place] as Waiting<Item>).due
  }

  #clearAway(): void {
    for (const places of [this.#items, this.#starts]) {
      places.copyWithin(0, this.#head)
      places.length -= this.#head
    }
    this.#head = 0
  }
}
