import type { NatsConnection } from '@nats-io/transport-node'
import { ACK, IN_PROGRESS, notNow } from '../../../shared/sdk/jetstream/ack-words.ts'
import type { Delivery } from './delivery.ts'
import type { Room } from './room.ts'

type KeptAway = (delivery: Delivery, delayMs: number) => void

/**
 * The deliveries in this worker's hands. Keeps each of them alive at the broker while it waits and runs, and gives its
 * room back when it is settled. Acknowledging happens here and nowhere else.
 */
export class HeldDeliveries {
  readonly #connection: NatsConnection
  readonly #room: Room
  readonly #held = new Set<Delivery>()
  readonly #heartbeat: NodeJS.Timeout
  readonly #onKeptAway: KeptAway | undefined
  readonly #byConsumer = new Map<string, number>()
  #onEmpty: (() => void)[] = []

  /**
   * @param ackWaitMs how long the broker waits before it hands a silent delivery to somebody else
   * @param onKeptAway told of what is kept away: it stays in flight at the broker
   */
  constructor(connection: NatsConnection, room: Room, ackWaitMs: number, onKeptAway?: KeptAway) {
    this.#onKeptAway = onKeptAway
    this.#connection = connection
    this.#room = room
    this.#heartbeat = setInterval(() => this.#keepAlive(), ackWaitMs / 3)
  }

  get size(): number {
    return this.#held.size
  }

  /** How many of a consumer's deliveries are held. */
  of(consumer: string): number {
    return this.#byConsumer.get(consumer) ?? 0
  }

  /** Takes deliveries over from the intake, which has taken room for one row of each. */
  add(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) {
      this.#held.add(delivery)
      this.#count(delivery, 1)
    }
  }

  /** Goes on with the same delivery in another form. @returns false where it is in these hands no more */
  replace(old: Delivery, now: Delivery): boolean {
    if (!this.#held.delete(old)) return false
    now.rows = old.rows
    this.#held.add(now)
    return true
  }

  /**
   * Corrects the room an event takes once its rows are known. However many it has, what its lane leaves to others stays
   * free: they need not wait until it is settled.
   */
  countRows(delivery: Delivery, rows: number): void {
    const most = Math.max(1, this.#room.freeRowsFor(delivery.event.route.lane) + delivery.rows)
    const taken = Math.min(rows, most)
    this.#room.take(taken - delivery.rows, 0)
    delivery.rows = taken
  }

  /** The outcome is stored and in the ledger: the event may leave its stream. */
  acknowledge(delivery: Delivery): void {
    this.#answer(delivery, ACK)
  }

  /** Nothing is stored: the broker hands the event out again, after `delayMs`. */
  giveBack(delivery: Delivery, delayMs = 0): void {
    this.#answer(delivery, notNow(delayMs))
  }

  /** Gives back what no fault of its own keeps from being run: for `delayMs` it counts as away. */
  keepAway(delivery: Delivery, delayMs: number): void {
    if (this.#held.has(delivery)) this.#onKeptAway?.(delivery, delayMs)
    this.giveBack(delivery, delayMs)
  }

  /** Gives back whatever is held, for somebody else to take at once. */
  giveBackAll(): void {
    for (const delivery of [...this.#held]) this.giveBack(delivery)
  }

  /** Resolves when nothing is held. */
  async empty(): Promise<void> {
    if (this.#held.size > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve))
  }

  close(): void {
    clearInterval(this.#heartbeat)
  }

  #answer(delivery: Delivery, answer: string): void {
    if (!this.#held.delete(delivery)) return
    this.#count(delivery, -1)
    this.#room.release(delivery.rows, delivery.sizeBytes)
    if (!this.#connection.isClosed()) this.#connection.publish(delivery.ackSubject, answer)
    if (this.#held.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  #count({ info: { consumer } }: Delivery, change: number): void {
    this.#byConsumer.set(consumer, this.of(consumer) + change)
  }

  #keepAlive(): void {
    if (this.#connection.isClosed()) return
    for (const delivery of this.#held) this.#connection.publish(delivery.ackSubject, IN_PROGRESS)
  }
}
