import { Heap, type Ranked } from './heap.ts'

/** Something that waits to be run together with others of its kind. */
export interface Batchable {
  readonly rows: number
}

/** Whether urgent and patient batches may be taken now: what may not holds back nothing else. */
export interface Open {
  readonly urgent: boolean
  readonly patient: boolean
}

export interface BatcherOptions<Item> {
  /** How long the first item of a batch waits for others, milliseconds. */
  readonly lingerMs: number
  /** Whether a batch that begins with this item is urgent; the same for all that wait of a kind. @default all are */
  readonly isUrgent?: (first: Item) => boolean
}

interface Waiting<Item> {
  readonly item: Item
  /** When it came, milliseconds. */
  readonly at: number
  /** How many came before it. */
  readonly turn: number
}

/** Items of a kind. Its rank is when it is due while it lingers, and the turn of its first item once it is due. */
interface Group<Item> extends Ranked {
  readonly kind: string
  maxRows: number
  lingerMs: number
  /** In the order they came. */
  readonly items: Waiting<Item>[]
  rows: number
  isUrgent: boolean
}

/** Groups that are due, the longest waiting first, and those that linger, the next to be due first. */
interface Queue<Item> {
  readonly due: Heap<Group<Item>>
  readonly lingering: Heap<Group<Item>>
}

const ALL: Open = { urgent: true, patient: true }

/**
 * Collects items of the same kind into batches: by size, or by time since the first item. Knows no timers: time is
 * passed in. Items of a kind leave in the order they came; an item larger than a batch leaves alone. However many kinds
 * wait, an item and a batch cost the logarithm of that.
 */
export class Batcher<Item extends Batchable> {
  readonly #lingerMs: number
  readonly #isUrgent: (first: Item) => boolean
  readonly #groups = new Map<string, Group<Item>>()
  readonly #urgent: Queue<Item> = { due: new Heap(), lingering: new Heap() }
  readonly #patient: Queue<Item> = { due: new Heap(), lingering: new Heap() }
  #items = 0
  #turns = 0

  constructor({ lingerMs, isUrgent = () => true }: BatcherOptions<Item>) {
    this.#lingerMs = lingerMs
    this.#isUrgent = isUrgent
  }

  /** Items waiting. */
  get size(): number {
    return this.#items
  }

  /** @param maxRows rows a batch of this kind may have from now on */
  add(kind: string, maxRows: number, item: Item, now: number): void {
    const known = this.#groups.get(kind)
    const group = known ?? this.#begin(kind, maxRows, item)
    const wasFull = known !== undefined && isFull(known)
    group.maxRows = maxRows
    group.items.push({ item, at: now, turn: this.#turns++ })
    group.rows += item.rows
    this.#items++
    if (known === undefined) this.#file(group)
    else if (wasFull !== isFull(group)) this.#refile(group)
  }

  /** The next batch that is full or has waited long enough, the longest waiting first; with `flush` any batch. */
  take(now: number, flush = false, open = ALL): Item[] | undefined {
    const group = this.#next(now, flush, open)
    return group && this.#takeFrom(group)
  }

  /** When the next batch that may go is due if nothing is added, or `undefined` when none waits. */
  nextDueAt(open = ALL): number | undefined {
    const dues = this.#queuesOf(open).map(({ due, lingering }) =>
      due.first === undefined ? lingering.first?.rank : Number.NEGATIVE_INFINITY,
    )
    const known = dues.filter((dueAt) => dueAt !== undefined)
    return known.length === 0 ? undefined : Math.min(...known)
  }

  /** Rows that wait of a kind. */
  rowsOf(kind: string): number {
    return this.#groups.get(kind)?.rows ?? 0
  }

  /** The batch of a kind that is collected now waits so long for others, milliseconds; later ones as all do. */
  linger(kind: string, lingerMs: number): void {
    const group = this.#groups.get(kind)
    if (group === undefined || group.lingerMs === lingerMs) return
    group.lingerMs = lingerMs
    this.#refile(group)
  }

  /**
   * Looks again at what waits of a kind: whether it is urgent, and whether it is full.
   *
   * @param maxRows rows a batch of it may have from now on
   */
  reconsider(kind: string, maxRows: number): void {
    const group = this.#groups.get(kind)
    if (group === undefined) return
    const wasFull = isFull(group)
    group.maxRows = maxRows
    if (group.isUrgent !== this.#isUrgent(head(group).item) || wasFull !== isFull(group)) this.#refile(group)
  }

  /** Takes out every item of the kinds whose first item is asked for. */
  remove(isAskedFor: (first: Item) => boolean): Item[] {
    const removed: Item[] = []
    for (const group of this.#groups.values()) {
      if (!isAskedFor(head(group).item)) continue
      this.#end(group)
      this.#items -= group.items.length
      removed.push(...group.items.map(({ item }) => item))
    }
    return removed
  }

  /** The group whose turn it is. One that is not where it belongs any more is filed anew, and looked at again. */
  #next(now: number, flush: boolean, open: Open): Group<Item> | undefined {
    for (;;) {
      let best: Group<Item> | undefined
      for (const queue of this.#queuesOf(open)) {
        fallDue(queue, now)
        for (const next of [queue.due.first, flush ? queue.lingering.first : undefined])
          if (next !== undefined && (best === undefined || head(next).turn < head(best).turn)) best = next
      }
      if (best === undefined || best.isUrgent === this.#isUrgent(head(best).item)) return best
      this.#refile(best)
    }
  }

  #queuesOf({ urgent, patient }: Open): Queue<Item>[] {
    return [...(urgent ? [this.#urgent] : []), ...(patient ? [this.#patient] : [])]
  }

  #begin(kind: string, maxRows: number, item: Item): Group<Item> {
    const isUrgent = this.#isUrgent(item)
    const group: Group<Item> = {
      kind,
      maxRows,
      lingerMs: this.#lingerMs,
      items: [],
      rows: 0,
      isUrgent,
      rank: 0,
      place: -1,
    }
    this.#groups.set(kind, group)
    return group
  }

  /** Puts a group where it belongs. */
  #file(group: Group<Item>): void {
    group.isUrgent = this.#isUrgent(head(group).item)
    const { due, lingering } = group.isUrgent ? this.#urgent : this.#patient
    const { at, turn } = head(group)
    group.rank = isFull(group) ? turn : at + group.lingerMs
    if (isFull(group)) due.add(group)
    else lingering.add(group)
  }

  #refile(group: Group<Item>): void {
    this.#takeOut(group)
    this.#file(group)
  }

  #takeOut(group: Group<Item>): void {
    const { due, lingering } = group.isUrgent ? this.#urgent : this.#patient
    if (due.has(group)) due.remove(group)
    else lingering.remove(group)
  }

  /** A kind that comes again starts a new group: kinds an attacker makes up do not pile up. */
  #end(group: Group<Item>): void {
    this.#takeOut(group)
    this.#groups.delete(group.kind)
  }

  #takeFrom(group: Group<Item>): Item[] {
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
    if (group.items.length === 0) this.#end(group)
    else this.#refile(group)
    return batch
  }
}

/** Moves what has lingered long enough to what is due. */
function fallDue<Item>({ due, lingering }: Queue<Item>, now: number): void {
  for (let group = lingering.first; group !== undefined && group.rank <= now; group = lingering.first) {
    lingering.remove(group)
    group.rank = head(group).turn
    due.add(group)
  }
}

function isFull({ rows, maxRows }: Group<unknown>): boolean {
  return rows >= maxRows
}

/** What waits longest: a group without items is not kept. */
function head<Item>({ items }: Group<Item>): Waiting<Item> {
  return items[0] as Waiting<Item>
}
