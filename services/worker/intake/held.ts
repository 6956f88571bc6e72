import type { NatsConnection } from '@nats-io/transport-node'
import { ACK, IN_PROGRESS, notNow } from '../../../shared/sdk/jetstream/ack-words.ts'
import type { Delivery } from './delivery.ts'
import type { Room } from './room.ts'

/**
 * The deliveries in this worker's hands. Keeps each of them alive at the broker while it waits and runs, and gives its
 * room back when it is settled. Acknowledging happens here and nowhere else.
 */
export class HeldDeliveries {
  readonly #connection: NatsConnection
  readonly #room: Room
  readonly #held = new Set<Delivery>()
  readonly #heartbeat: NodeJS.Timeout
  #onEmpty: (() => void)[] = []

  /** @param ackWaitMs how long the broker waits before it hands a silent delivery to somebody else */
  constructor(connection: NatsConnection, room: Room, ackWaitMs: number) {
    this.#connection = connection
    this.#room = room
    this.#heartbeat = setInterval(() => this.#keepAlive(), ackWaitMs / 3)
  }

  get size(): number {
    return this.#held.size
  }

  /** Takes deliveries over from the intake, which has taken room for one row of each. */
  add(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.#held.add(delivery)
  }

  /** Goes on with the same delivery in another form. @returns false where it is in these hands no more */
  replace(old: Delivery, now: Delivery): boolean {
    if (!this.#held.delete(old)) return false
    now.rows = old.rows
    this.#held.add(now)
    return true
  }

  /** Corrects the room an event takes once its rows are known. */
  countRows(delivery: Delivery, rows: number): void {
    this.#room.take(rows - delivery.rows, 0)
    delivery.rows = rows
  }

  /** The outcome is stored and in the ledger: the event may leave its stream. */
  acknowledge(delivery: Delivery): void {
    this.#answer(delivery, ACK)
  }

  /** Nothing is stored: the broker hands the event out again, after `delayMs`. */
  giveBack(delivery: Delivery, delayMs = 0): void {
    this.#answer(delivery, notNow(delayMs))
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
    this.#room.release(delivery.rows, delivery.sizeBytes)
    if (!this.#connection.isClosed()) this.#connection.publish(delivery.ackSubject, answer)
    if (this.#held.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  #keepAlive(): void {
    if (this.#connection.isClosed()) return
    for (const delivery of this.#held) this.#connection.publish(delivery.ackSubject, IN_PROGRESS)
  }
}
