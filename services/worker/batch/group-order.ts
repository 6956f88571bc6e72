import { type OfLanes, ofLanes } from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { Group } from './group.ts'
import { Heap } from './heap.ts'
import type { Batchable, LaneQueue } from './lane-queue.ts'

/** Groups that wait: those that are due by what starts first in each of their lanes; of those that linger, the next to be due. */
export class GroupOrder<Item extends Batchable> {
  readonly #due: OfLanes<Heap<LaneQueue<Item>>> = ofLanes(() => new Heap())
  readonly #lingering: OfLanes<Heap<LaneQueue<Item>>> = ofLanes(() => new Heap())
  readonly #groups = new Heap<Group<Item>>()

  /** When the next group is due; `undefined` where none waits. */
  get nextDueAt(): number | undefined {
    return this.isDue ? Number.NEGATIVE_INFINITY : this.#groups.first?.rank
  }

  /** Whether any group is due. */
  get isDue(): boolean {
    for (const lane of LANES) if (this.#due[lane].first !== undefined) return true
    return false
  }

  /** What starts first in a lane of what is due. */
  firstDue(lane: Lane): LaneQueue<Item> | undefined {
    return this.#due[lane].first
  }

  firstLingering(lane: Lane): LaneQueue<Item> | undefined {
    return this.#lingering[lane].first
  }

  /** @param isDue whether it waits for no others */
  add(group: Group<Item>, isDue: boolean): void {
    group.isDue = isDue
    for (const queue of group.queues) this.#heapOf(group, queue).add(queue)
    if (isDue) return
    group.rank = group.since + group.lingerMs
    this.#groups.add(group)
  }

  /** Something came to a lane of a group, which stays what it is. */
  came(group: Group<Item>, queue: LaneQueue<Item>): void {
    const heap = this.#heapOf(group, queue)
    if (heap.has(queue)) heap.moved(queue)
    else heap.add(queue)
  }

  /** Takes a group out; a lane that began meanwhile is not in here. */
  remove(group: Group<Item>): void {
    for (const queue of group.queues) {
      const heap = this.#heapOf(group, queue)
      if (heap.has(queue)) heap.remove(queue)
    }
    if (!group.isDue) this.#groups.remove(group)
  }

  /** What has lingered until then is due. */
  fallDue(by: number): void {
    for (let { first } = this.#groups; first !== undefined && first.rank <= by; { first } = this.#groups) {
      this.remove(first)
      this.add(first, true)
    }
  }

  #heapOf({ isDue }: Group<Item>, { lane }: LaneQueue<Item>): Heap<LaneQueue<Item>> {
    return (isDue ? this.#due : this.#lingering)[lane]
  }
}
