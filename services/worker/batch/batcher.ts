/** Something that waits to be run together with others of its kind. */
export interface Batchable {
  readonly rows: number
}

interface Group<Item> {
  readonly maxRows: number
  /** In the order they came, each with when, milliseconds. */
  readonly items: { readonly item: Item; readonly at: number }[]
  rows: number
}

/**
 * Collects items of the same kind into batches: by size, or by time since the first item. Knows no timers: time is
 * passed in. Items of a kind leave in the order they came; an item larger than a batch leaves alone.
 */
export class Batcher<Item extends Batchable> {
  readonly #lingerMs: number
  readonly #groups = new Map<string, Group<Item>>()
  #items = 0

  /** @param lingerMs how long the first item of a batch waits for others */
  constructor(lingerMs: number) {
    this.#lingerMs = lingerMs
  }

  /** Items waiting. */
  get size(): number {
    return this.#items
  }

  /** @param maxRows rows a batch of this kind may have; the same for every item of a kind */
  add(kind: string, maxRows: number, item: Item, now: number): void {
    const group = this.#groups.get(kind) ?? { maxRows, items: [], rows: 0 }
    if (group.items.length === 0) this.#groups.set(kind, group)
    group.items.push({ item, at: now })
    group.rows += item.rows
    this.#items++
  }

  /**
   * The next batch that is full or has waited long enough, the longest waiting first; with `flush` any batch.
   *
   * @param mayGo whether a batch that begins with this item may be taken now: one that may not holds back no other
   */
  take(now: number, flush = false, mayGo: (first: Item) => boolean = () => true): Item[] | undefined {
    let best: [string, Group<Item>] | undefined
    for (const entry of this.#groups) {
      const isDue = (flush || this.#dueAt(entry[1]) <= now) && mayGo(first(entry[1]))
      if (isDue && (best === undefined || since(entry[1]) < since(best[1]))) best = entry
    }
    return best === undefined ? undefined : this.#takeFrom(...best)
  }

  /** When the next batch that may go is due if nothing is added, or `undefined` when none waits. */
  nextDueAt(mayGo: (first: Item) => boolean = () => true): number | undefined {
    let next: number | undefined
    for (const group of this.#groups.values())
      if (mayGo(first(group))) next = Math.min(next ?? Number.POSITIVE_INFINITY, this.#dueAt(group))
    return next
  }

  /** Takes out every item of the kinds whose first item is asked for. */
  remove(isAskedFor: (first: Item) => boolean): Item[] {
    const removed: Item[] = []
    for (const [kind, group] of this.#groups) {
      if (!isAskedFor(first(group))) continue
      this.#groups.delete(kind)
      this.#items -= group.items.length
      removed.push(...group.items.map(({ item }) => item))
    }
    return removed
  }

  #dueAt(group: Group<Item>): number {
    return group.rows >= group.maxRows ? Number.NEGATIVE_INFINITY : since(group) + this.#lingerMs
  }

  #takeFrom(kind: string, group: Group<Item>): Item[] {
    let count = 0
    let rows = 0
    while (count < group.items.length) {
      const next = group.items[count]?.item.rows ?? 0
      if (count > 0 && rows + next > group.maxRows) break
      rows += next
      count++
    }
    const batch = group.items.splice(0, count).map(({ item }) => item)
    group.rows -= rows
    this.#items -= count
    // A kind that comes again starts a new group: kinds an attacker makes up do not pile up.
    if (group.items.length === 0) this.#groups.delete(kind)
    return batch
  }
}

/** The item that waits longest: a group without items is not kept. */
function first<Item>(group: Group<Item>): Item {
  return (group.items[0] as { readonly item: Item }).item
}

function since(group: Group<unknown>): number {
  return group.items[0]?.at ?? Number.POSITIVE_INFINITY
}
