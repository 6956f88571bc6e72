import type { BrokerSide } from './broker-side.ts'
import type { Delivery } from './intake/delivery.ts'
import type { HeldDeliveries } from './intake/held.ts'
import { LaneLimits } from './intake/lane-limits.ts'
import type { Room } from './intake/room.ts'
import type { Amount } from './intake/timed-tally.ts'
import type { Servability, UnservedModel } from './servability.ts'
import { type Beyond, Parking, type ParkingDeps, type WaitingEvents } from './settle/parking.ts'
import { RetryRoom } from './settle/retry-room.ts'
import { WorkerCount } from './worker-count.ts'
import type { WorkerDeps, WorkerOptions } from './worker-deps.ts'

/** What waits for models that are not servable. */
export interface Unserved {
  readonly models: readonly UnservedModel[]
  readonly waiting: readonly WaitingEvents[]
  /** Consumers of lanes that stand: no more may be held back. */
  readonly lanes: readonly string[]
}

export interface WaitingDeps extends Pick<ParkingDeps, 'look'> {
  /** This worker. */
  readonly name: WorkerOptions['name']
  readonly pool: Pick<WorkerDeps['pool'], 'workers' | 'isPresent'>
  readonly broker: Pick<
    BrokerSide,
    'window' | 'now' | 'inRetries' | 'lookAgain' | 'onLook' | 'maxAckPending' | 'maxMessageBytes'
  >
  readonly room: Pick<Room, 'wake' | 'capacity'>
  readonly held: Pick<HeldDeliveries, 'of' | 'isKept'>
  readonly models: Servability
  /** What the workers of the pool may have parked together. */
  readonly parked: Amount
  /** What becomes of the rest, of models that fail on everything. */
  readonly beyond: Beyond
  /** What all workers may keep in the retry lane, parked or not. */
  readonly retries: Amount
}

/** Everything that waits for a model to be servable again: where it waits, how much of it may, and what that means for pulling. */
export class WaitingForModels implements Unserved {
  readonly parking: Parking
  /** For retries as well: they wait in the same lane. */
  readonly retryRoom: RetryRoom
  readonly #lanes: LaneLimits
  readonly #models: Servability

  constructor({ name, pool, broker, room, held, models, parked, beyond, retries, look }: WaitingDeps) {
    this.#models = models
    const count = new WorkerCount({
      ...{ alive: () => pool.workers, isPresent: () => pool.isPresent, own: name },
      now: () => performance.now(),
    })
    // A count that nobody asks for is seen all the same.
    broker.onLook(() => count.look())
    const workers = (): number => count.most
    this.retryRoom = new RetryRoom({ ...broker, most: retries, workers })
    this.parking = new Parking({
      ...broker,
      room: this.retryRoom,
      most: parked,
      beyond,
      isServedElsewhere: models.isServedElsewhere,
      look,
      isKept: (delivery) => held.isKept(delivery),
    })
    this.#lanes = new LaneLimits({
      maxAckPending: broker.maxAckPending,
      workers,
      inHand: (consumer) => held.of(consumer),
      isTight: () => this.parking.isTight(room.capacity.rows),
      onMore: () => room.wake(),
    })
  }

  get models(): Unserved['models'] {
    return this.#models.unserved
  }

  get waiting(): Unserved['waiting'] {
    return this.parking.waiting
  }

  get lanes(): Unserved['lanes'] {
    return this.#lanes.standing
  }

  /** How many more messages of a consumer may be pulled now. */
  most(consumer: string): number {
    return this.#models.isNeedless ? 0 : this.#lanes.most(consumer)
  }

  /** A delivery was given back, and is handed out again after `delayMs`. */
  keptAway({ info, sizeBytes }: Delivery, delayMs: number): void {
    this.#lanes.away.add(info.consumer, `${info.consumer} ${info.streamSequence}`, sizeBytes, delayMs)
  }

  close(): void {
    this.#lanes.close()
    this.parking.close()
  }
}
