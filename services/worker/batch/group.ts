import type { OfLanes } from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { Ranked } from './heap.ts'
import type { LaneCredits } from './lane-credits.ts'
import { type Batchable, LaneQueue } from './lane-queue.ts'
import { type KnownCost, rowsInBudget } from './learned.ts'
import type { ModelLane } from './model-lane.ts'
import type { Waiting } from './source-queue.ts'

/** How large a batch of a kind may be. */
export interface BatchSize {
  readonly maxRows: number
  /** What a run costs, where it is known: a batch is no larger than the deadlines in it allow. */
  readonly cost?: KnownCost | undefined
}

/** What waits of a kind, by lanes. Its rank is when it is due, while it lingers. */
export class Group<Item extends Batchable> implements Ranked {
  readonly kind: string
  size: BatchSize
  lingerMs: number
  isUrgent = false
  /** Whether it waits for nothing but a place. */
  isDue = false
  rank = 0
  place = -1
  rows = 0
  /** Those of lanes that wait, by falling lane. */
  readonly queues: LaneQueue<Item>[] = []
  readonly #model: OfLanes<ModelLane>
  /** When the one that waits longest came; undefined where it has to be looked for. */
  #since: number | undefined

  constructor(kind: string, model: OfLanes<ModelLane>, size: BatchSize, lingerMs: number) {
    this.kind = kind
    this.#model = model
    this.size = size
    this.lingerMs = lingerMs
  }

  get isEmpty(): boolean {
    return this.queues.length === 0
  }

  get isFull(): boolean {
    return this.rows >= this.size.maxRows
  }

  /** Any item of it; there must be one. */
  get first(): Item {
    const [queue] = this.queues as [LaneQueue<Item>]
    return (queue.first as Waiting<Item>).item
  }

  /** When the one that waits longest came. */
  get since(): number {
    this.#since ??= Math.min(...this.queues.map((queue) => queue.since()))
    return this.#since
  }

  queueOf(lane: Lane): LaneQueue<Item> | undefined {
    for (const queue of this.queues) if (queue.lane === lane) return queue
    return undefined
  }

  /** @returns the queue it waits in */
  add(waiting: Waiting<Item>): LaneQueue<Item> {
    const { rows, delivery } = waiting.item
    if (this.isEmpty) this.#since = waiting.at
    const { lane } = delivery.event.route
    const queue = this.queueOf(lane) ?? this.#begin(lane)
    queue.add(waiting)
    this.rows += rows
    return queue
  }

  /**
   * Takes a batch, an item at least: its lanes by their credits, within a lane its sources in turn. It ends before the first
   * item that does not fit, or that would be too late with so many rows: which is the first of the next one.
   *
   * @param brokerMs broker time
   */
  take(credits: LaneCredits, brokerMs: number): Item[] {
    const batch: Item[] = []
    let rows = 0
    let most = this.size.maxRows
    for (const queue of this.queues) queue.goOn()
    while (!this.isEmpty) {
      const queue = credits.next(this.queues)
      const { item } = queue.first as Waiting<Item>
      most = Math.min(most, this.#rowsInTime(item, brokerMs))
      if (batch.length > 0 && rows + item.rows > most) break
      this.#shift(queue)
      credits.spend(queue.lane, item.rows)
      rows += item.rows
      batch.push(item)
    }
    return batch
  }

  /** Takes everything. */
  takeAll(): Item[] {
    const items: Item[] = []
    for (let [queue] = this.queues; queue !== undefined; [queue] = this.queues) items.push(this.#shift(queue))
    return items
  }

  #rowsInTime({ delivery }: Item, brokerMs: number): number {
    const { cost } = this.size
    const { expiresAt } = delivery.event
    if (cost === undefined || expiresAt === undefined) return Number.POSITIVE_INFINITY
    return rowsInBudget(cost, expiresAt - brokerMs)
  }

  #begin(lane: Lane): LaneQueue<Item> {
    const queue = new LaneQueue<Item>(lane, this.#model[lane], this.kind)
    this.queues.push(queue)
    this.queues.sort(byLane)
    return queue
  }

  #shift(queue: LaneQueue<Item>): Item {
    const { item } = queue.shift()
    this.rows -= item.rows
    this.#since = undefined
    if (queue.first === undefined) this.queues.splice(this.queues.indexOf(queue), 1)
    return item
  }
}

function byLane(one: { readonly lane: Lane }, other: { readonly lane: Lane }): number {
  return LANES.indexOf(one.lane) - LANES.indexOf(other.lane)
}
