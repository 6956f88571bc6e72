import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { Heap, type Ranked } from './heap.ts'
import type { ModelLane } from './model-lane.ts'
import { SourceQueue, type Waiting } from './source-queue.ts'

/** Something that waits to be run together with others of its kind. */
export interface Batchable {
  readonly rows: number
  readonly delivery: {
    readonly event: {
      readonly source: string
      /** Its deadline, milliseconds of broker time. */
      readonly expiresAt: number | undefined
      readonly route: { readonly lane: Lane }
    }
  }
}

/** What waits of one kind in one lane: its sources take turns. Its rank is when its next item starts, in fair time. */
export class LaneQueue<Item extends Batchable> implements Ranked {
  readonly lane: Lane
  readonly kind: string
  rank = 0
  place = -1
  readonly #model: ModelLane
  readonly #sources = new Map<string, SourceQueue<Item>>()
  readonly #turns = new Heap<SourceQueue<Item>>()

  constructor(lane: Lane, model: ModelLane, kind: string) {
    this.lane = lane
    this.#model = model
    this.kind = kind
  }

  /** Undefined where it is empty. */
  get first(): Waiting<Item> | undefined {
    return this.#turns.first?.first
  }

  add(waiting: Waiting<Item>): void {
    const { rows, delivery } = waiting.item
    const queue = this.#sources.get(delivery.event.source) ?? this.#begin(delivery.event.source)
    queue.add(waiting, this.#model.came(queue.share, rows))
    if (!this.#turns.has(queue)) this.#turns.add(queue)
    this.#rankAnew()
  }

  /** Fair time goes on to the item that is next. */
  goOn(): void {
    this.#model.time.goOn(this.rank)
  }

  /** Takes the next item, which there must be. */
  shift(): Waiting<Item> {
    const queue = this.#turns.first as SourceQueue<Item>
    const waiting = queue.shift()
    this.#model.went(queue.share, waiting.item.rows)
    if (queue.first === undefined) this.#end(queue)
    else this.#turns.moved(queue)
    this.#rankAnew()
    return waiting
  }

  /** The start of an item of a source that is due then, if it came now, in fair time. */
  startOf(source: string, due: number): number | undefined {
    return this.#sources.get(source)?.startOf(due)
  }

  /** When the one that waits longest came; infinity where it is empty. */
  since(): number {
    let since = Number.POSITIVE_INFINITY
    for (const queue of this.#sources.values()) since = Math.min(since, queue.since())
    return since
  }

  #rankAnew(): void {
    this.rank = this.#turns.first?.rank ?? this.rank
  }

  #begin(source: string): SourceQueue<Item> {
    const queue = new SourceQueue<Item>(source, this.#model.shareOf(source))
    this.#sources.set(source, queue)
    return queue
  }

  #end(queue: SourceQueue<Item>): void {
    this.#turns.remove(queue)
    this.#sources.delete(queue.source)
  }
}
