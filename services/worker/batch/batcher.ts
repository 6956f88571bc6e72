import { type OfLanes, ofLanes } from '../../../shared/sdk/contract/flow.ts'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import { FairTime } from './fair-time.ts'
import { type BatchSize, Group } from './group.ts'
import { GroupOrder } from './group-order.ts'
import { LaneCredits } from './lane-credits.ts'
import type { Batchable, LaneQueue } from './lane-queue.ts'
import { ModelLane } from './model-lane.ts'

/** Whether urgent and patient batches may be taken now: what may not holds back nothing else. */
export interface Open {
  readonly urgent: boolean
  readonly patient: boolean
}

/** A moment, by both clocks. */
export interface Moment {
  /** Milliseconds of a clock of this process: what lingers goes by it. */
  readonly nowMs: number
  /** Milliseconds since 1970, as the broker has it: deadlines go by it. */
  readonly brokerMs: number
}

export interface BatcherOptions<Item> {
  /** How long the first item of a batch waits for others, milliseconds. */
  readonly lingerMs: number
  /** Whether a batch that begins with this item is urgent; the same for all that wait of a kind. @default all are */
  readonly isUrgent?: (first: Item) => boolean
}

/** Something of a kind of some model that waits. */
export interface OfKind extends Batchable {
  readonly kind: string
  readonly model: object
}

const ALL: Open = { urgent: true, patient: true }
const UPWARDS = [...LANES].reverse()
const NONE: readonly never[] = []

/**
 * What has no deadline, or a later one, counts among those of its source as if it had this one, milliseconds from when it
 * came: it lets others go first, and not forever.
 */
export const FAR_MS = 30_000

/**
 * Collects items of the same kind into batches: by size, or by time since the first. Of those that are due lanes take turns
 * ({@link LaneCredits}), in a lane the sources of each model ({@link FairTime}); what a source has goes by its deadlines.
 * What lingers lets no lower lane go first. An item larger than a batch leaves alone. Knows no timers: time is passed in.
 *
 * However many kinds and sources wait, an item and a batch cost the logarithm of that; where one source sends one kind they
 * cost the same always.
 */
export class Batcher<Item extends OfKind> {
  readonly #lingerMs: number
  readonly #isUrgent: (first: Item) => boolean
  readonly #groups = new Map<string, Group<Item>>()
  readonly #urgent = new GroupOrder<Item>()
  readonly #patient = new GroupOrder<Item>()
  readonly #credits = new LaneCredits()
  readonly #times = ofLanes(() => new FairTime())
  /** As long as a model is served. */
  readonly #models = new WeakMap<object, OfLanes<ModelLane>>()
  #items = 0
  #isFlushed = false

  constructor({ lingerMs, isUrgent = () => true }: BatcherOptions<Item>) {
    this.#lingerMs = lingerMs
    this.#isUrgent = isUrgent
  }

  /** Items waiting. */
  get size(): number {
    return this.#items
  }

  /** @param size of a batch of this kind from now on */
  add(size: BatchSize, item: Item, now: Moment): void {
    const group = this.#groups.get(item.kind) ?? this.#begin(size, item)
    const { isEmpty, isFull } = group
    group.size = size
    const queue = group.add({ item, at: now.nowMs, due: dueOf(item, now.brokerMs) })
    this.#items++
    if (isEmpty) this.#file(group)
    else if (isFull !== group.isFull) this.#refile(group)
    else this.#orderOf(group).came(group, queue)
  }

  /**
   * The next batch that is full or has waited long enough.
   *
   * @param dueBy what is due by then, milliseconds
   * @param brokerMs broker time: a batch has no more rows than can be run by the deadlines in it. @default none is near
   */
  take(dueBy: number, brokerMs = Number.NEGATIVE_INFINITY, open = ALL): Item[] | undefined {
    const group = this.#next(dueBy, open)
    if (group === undefined) return undefined
    this.#orderOf(group).remove(group)
    const batch = group.take(this.#credits, brokerMs)
    this.#gone(group, batch.length)
    return batch
  }

  /** When the next batch that may go is due if nothing is added, or `undefined` when none waits. */
  nextDueAt(open = ALL): number | undefined {
    let soonest: number | undefined
    for (const { nextDueAt: dueAt } of this.#ordersOf(open))
      if (dueAt !== undefined) soonest = Math.min(dueAt, soonest ?? dueAt)
    return soonest
  }

  /** Rows that wait of a kind. */
  rowsOf(kind: string): number {
    return this.#groups.get(kind)?.rows ?? 0
  }

  /**
   * Rows of its model that would go before an item if it were added now: all of higher lanes, and of its own lane what its
   * source's share and its deadline leave before it. Costs the same however much waits, but where its deadline is nearer
   * than one of its source's.
   */
  rowsBefore(item: Item, brokerMs: number): number {
    const model = this.#models.get(item.model)
    if (model === undefined) return 0
    const { lane } = item.delivery.event.route
    const higher = LANES.slice(0, LANES.indexOf(lane))
    const before = model[lane].rowsBefore(this.#startOf(item, model[lane], brokerMs))
    return higher.reduce((rows, each) => rows + model[each].rows, before)
  }

  /** The batch of a kind that is collected now waits so long for others, milliseconds; later ones as all do. */
  linger(kind: string, lingerMs: number): void {
    const group = this.#groups.get(kind)
    if (group === undefined || group.lingerMs === lingerMs) return
    group.lingerMs = lingerMs
    if (!this.#mustBeDue(group)) this.#refile(group)
  }

  /** From now on nothing waits for others. */
  flush(): void {
    this.#isFlushed = true
    for (const group of this.#groups.values()) this.#refile(group)
  }

  /**
   * Looks again at what waits of a kind: whether it is urgent, and whether it is full.
   *
   * @param size of a batch of it from now on
   */
  reconsider(kind: string, size: BatchSize): void {
    const group = this.#groups.get(kind)
    if (group === undefined) return
    const { isFull, isUrgent } = group
    group.size = size
    if (isUrgent !== this.#isUrgent(group.first) || isFull !== group.isFull) this.#refile(group)
  }

  /** Takes out every item of the kinds of which any item is asked for. */
  remove(isAskedFor: (any: Item) => boolean): Item[] {
    const removed: Item[] = []
    for (const group of this.#groups.values()) {
      if (!isAskedFor(group.first)) continue
      this.#orderOf(group).remove(group)
      const items = group.takeAll()
      this.#gone(group, items.length)
      removed.push(...items)
    }
    return removed
  }

  /** The group whose turn it is. One that is not where it belongs any more is filed anew, and looked at again. */
  #next(dueBy: number, open: Open): Group<Item> | undefined {
    for (;;) {
      const firsts = this.#firsts(dueBy, open)
      if (firsts.length === 0) return undefined
      const group = this.#groupOf(this.#credits.begin(firsts))
      if (group.isUrgent === this.#isUrgent(group.first)) return group
      this.#refile(group)
    }
  }

  /**
   * Of each lane in which something is due and may go, what starts first; and of the lanes above those, what lingers: its place
   * would be taken by a run that it then waits for.
   */
  #firsts(dueBy: number, open: Open): readonly LaneQueue<Item>[] {
    const orders = this.#ordersOf(open)
    let isDue = false
    for (const order of orders) {
      order.fallDue(dueBy)
      isDue ||= order.isDue
    }
    if (!isDue) return NONE
    const firsts: LaneQueue<Item>[] = []
    for (const lane of UPWARDS) {
      let first = earliest(orders.map((order) => order.firstDue(lane)))
      if (firsts.length > 0) first ??= earliest(orders.map((order) => order.firstLingering(lane)))
      if (first !== undefined) firsts.unshift(first)
    }
    return firsts
  }

  #groupOf({ kind }: LaneQueue<Item>): Group<Item> {
    return this.#groups.get(kind) as Group<Item> // what waits is of one
  }

  #ordersOf({ urgent, patient }: Open): readonly GroupOrder<Item>[] {
    return [...(urgent ? [this.#urgent] : []), ...(patient ? [this.#patient] : [])]
  }

  #orderOf({ isUrgent }: Group<Item>): GroupOrder<Item> {
    return isUrgent ? this.#urgent : this.#patient
  }

  /** When the item would start if it came now, in fair time. */
  #startOf({ kind, delivery }: Item, model: ModelLane, brokerMs: number): number {
    const { source, route } = delivery.event
    const queue = this.#groups.get(kind)?.queueOf(route.lane)
    return queue?.startOf(source, dueOf({ delivery }, brokerMs)) ?? model.nextStartOf(source)
  }

  #begin(size: BatchSize, { kind, model }: Item): Group<Item> {
    const group = new Group<Item>(kind, this.#lanesOf(model), size, this.#lingerMs)
    this.#groups.set(kind, group)
    return group
  }

  #lanesOf(model: object): OfLanes<ModelLane> {
    const known = this.#models.get(model)
    if (known !== undefined) return known
    const lanes = ofLanes((lane) => new ModelLane(this.#times[lane]))
    this.#models.set(model, lanes)
    return lanes
  }

  #mustBeDue(group: Group<Item>): boolean {
    return this.#isFlushed || group.isFull
  }

  /** Puts a group where it belongs. */
  #file(group: Group<Item>): void {
    group.isUrgent = this.#isUrgent(group.first)
    this.#orderOf(group).add(group, this.#mustBeDue(group))
  }

  #refile(group: Group<Item>): void {
    this.#orderOf(group).remove(group)
    this.#file(group)
  }

  /** Items were taken. A kind that comes again starts a new group: kinds an attacker makes up do not pile up. */
  #gone(group: Group<Item>, count: number): void {
    this.#items -= count
    if (this.#items === 0) this.#credits.reset()
    if (group.isEmpty) this.#groups.delete(group.kind)
    else this.#file(group)
  }
}

/** What an item's place among those of its source goes by, milliseconds of broker time. */
function dueOf({ delivery }: Pick<Batchable, 'delivery'>, brokerMs: number): number {
  const { expiresAt } = delivery.event
  const far = brokerMs + FAR_MS
  return expiresAt === undefined ? far : Math.min(expiresAt, far)
}

function earliest<Item extends Batchable>(
  queues: readonly (LaneQueue<Item> | undefined)[],
): LaneQueue<Item> | undefined {
  let best: LaneQueue<Item> | undefined
  for (const queue of queues)
    if (queue !== undefined && (best === undefined || queue.rank < best.rank)) best = queue
  return best
}
