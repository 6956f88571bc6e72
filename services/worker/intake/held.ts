import type { NatsConnection } from '@nats-io/transport-node'
import { ACK, IN_PROGRESS, notNow, say } from '../../../shared/sdk/jetstream/ack-words.ts'
import { type DataPath, dataPathOf } from '../../../shared/sdk/jetstream/data-path.ts'
import type { Delivery } from './delivery.ts'
import { type GoingClock, openGoingClock } from './going-clock.ts'
import type { Room } from './room.ts'

export interface HeldOptions {
  /** How long the broker waits before it hands a silent delivery to somebody else, milliseconds. */
  readonly ackWaitMs: number
  /** Told of what is kept away: it stays in flight at the broker. */
  readonly onKeptAway?: (delivery: Delivery, delayMs: number) => void
  /** Told how many deliveries are another's by now, all that are found at once. */
  readonly onLate?: (count: number) => void
  /** @default one that goes on while this process is stopped */
  readonly clock?: GoingClock
}

/**
 * The deliveries in this worker's hands. Keeps each of them alive at the broker while it waits and runs, and gives its
 * room back when it is settled. Acknowledging happens here and nowhere else.
 *
 * What was not kept alive for `ack_wait` is no longer this worker's: the process was stopped, or its connection was
 * deaf, and the broker has handed the event to somebody else. From then on nothing is said of it but that it is done.
 */
export class HeldDeliveries {
  readonly #connection: NatsConnection
  readonly #path: DataPath
  readonly #room: Room
  readonly #options: HeldOptions
  readonly #clock: GoingClock
  /**
   * In no order. No Set: one that events pass through leaves behind tables that lead from each to the next, and V8 keeps all that
   * ever stood in them from the first on that has grown old, until it collects the whole heap; and so on from there.
   */
  readonly #held: Delivery[] = []
  readonly #heartbeat: NodeJS.Timeout
  readonly #byConsumer = new Map<string, number>()
  /** What comes from now on was handed out no earlier: the broker answered a ping of then. */
  #heardAt: number
  #onEmpty: (() => void)[] = []

  constructor(connection: NatsConnection, room: Room, options: HeldOptions) {
    this.#connection = connection
    this.#path = dataPathOf(connection)
    this.#room = room
    this.#options = options
    this.#clock = options.clock ?? openGoingClock()
    this.#heardAt = this.#clock()
    this.#heartbeat = setInterval(() => this.#keepAlive(), options.ackWaitMs / 3)
  }

  get size(): number {
    return this.#held.length
  }

  /** What arrives now was handed out no earlier, milliseconds of this worker's clock. */
  get sentSince(): number {
    return this.#heardAt
  }

  /** How many of a consumer's deliveries are held. */
  of(consumer: string): number {
    return this.#byConsumer.get(consumer) ?? 0
  }

  /**
   * Takes deliveries over from the intake, which has taken room for one row of each.
   *
   * @returns those that are this worker's: what came too late is let go of
   */
  add(deliveries: readonly Delivery[]): readonly Delivery[] {
    for (const delivery of deliveries) {
      const place = this.#held.push(delivery) - 1
      delivery.hold = {
        place,
        keptAt: delivery.sentSince,
        saidFrom: Number.POSITIVE_INFINITY,
        isLate: false,
        rowsToRun: 0,
      }
      this.#count(delivery, 1)
    }
    const now = this.now()
    const late = deliveries.filter((delivery) => !this.isKept(delivery, now))
    if (late.length === 0) return deliveries
    for (const delivery of late) this.drop(delivery)
    return deliveries.filter((delivery) => delivery.hold !== undefined)
  }

  /** Goes on with the same delivery in another form. @returns false where it is in these hands no more */
  replace(old: Delivery, now: Delivery): boolean {
    const { hold } = old
    if (hold === undefined) return false
    now.rows = old.rows
    now.hold = hold
    old.hold = undefined
    this.#held[hold.place] = now
    return true
  }

  /**
   * Whether the broker has kept a delivery for this worker all the time. False for good once it was silent for
   * `ack_wait`, as far as can be known here: the word that kept it alive may still have come in time.
   */
  isKept({ hold }: Delivery, now = this.now()): boolean {
    if (hold === undefined || hold.isLate) return false
    if (now - hold.keptAt <= this.#options.ackWaitMs) return true
    this.#markLate()
    return false
  }

  /** What {@link isKept} goes by, for many that are looked at in one moment. */
  now(): number {
    return this.#clock()
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
    if (delivery.hold !== undefined) delivery.hold.rowsToRun = rows
  }

  /** Their run is over: they are held until they are settled. */
  ran(batch: readonly { readonly delivery: Delivery }[]): void {
    for (const { delivery } of batch) if (delivery.hold !== undefined) delivery.hold.rowsToRun = 0
  }

  /** @param each told of every delivery that has rows yet to be run */
  toRun(each: (delivery: Delivery, rows: number) => void): void {
    for (const delivery of this.#held) {
      const rows = delivery.hold?.rowsToRun ?? 0
      if (rows > 0) each(delivery, rows)
    }
  }

  /** Their outcomes are stored and in the ledger: the events may leave their stream. */
  acknowledgeAll(deliveries: readonly Delivery[]): void {
    const isOpen = !this.#connection.isClosed()
    let rows = 0
    let bytes = 0
    for (const delivery of deliveries) {
      if (!this.#forget(delivery)) continue
      rows += delivery.rows
      bytes += delivery.sizeBytes
      if (isOpen) say(this.#path, delivery.ackSubject, ACK)
    }
    if (rows > 0) this.#room.release(rows, bytes)
    this.#tellEmpty()
  }

  /** Nothing is stored: the broker hands the event out again, after `delayMs`. */
  giveBack(delivery: Delivery, delayMs = 0): void {
    this.#letGo(delivery, this.isKept(delivery) ? notNow(delayMs) : undefined)
  }

  /** Gives back what no fault of its own keeps from being run: for `delayMs` it counts as away. */
  keepAway(delivery: Delivery, delayMs: number): void {
    if (this.isKept(delivery)) this.#options.onKeptAway?.(delivery, delayMs)
    this.giveBack(delivery, delayMs)
  }

  /** Without a word: the broker has handed the event to somebody else, or does so when `ack_wait` is over. */
  drop(delivery: Delivery): void {
    this.#letGo(delivery, undefined)
  }

  /** Gives back whatever is held, for somebody else to take at once. */
  giveBackAll(): void {
    for (const delivery of [...this.#held]) this.giveBack(delivery)
  }

  /** Resolves when nothing is held. */
  async empty(): Promise<void> {
    if (this.#held.length > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve))
  }

  close(): void {
    clearInterval(this.#heartbeat)
  }

  #letGo(delivery: Delivery, answer: string | undefined): void {
    if (!this.#forget(delivery)) return
    this.#room.release(delivery.rows, delivery.sizeBytes)
    if (answer !== undefined && !this.#connection.isClosed()) say(this.#path, delivery.ackSubject, answer)
    this.#tellEmpty()
  }

  /** @returns whether it was in hand */
  #forget(delivery: Delivery): boolean {
    const { hold } = delivery
    if (hold === undefined) return false
    delivery.hold = undefined
    // The last one takes its place.
    const last = this.#held.pop()
    if (last !== undefined && last !== delivery) {
      this.#held[hold.place] = last
      if (last.hold !== undefined) last.hold.place = hold.place
    }
    this.#count(delivery, -1)
    return true
  }

  #tellEmpty(): void {
    if (this.#held.length === 0) for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  #count({ info: { consumer } }: Delivery, change: number): void {
    this.#byConsumer.set(consumer, this.of(consumer) + change)
  }

  /**
   * Says of each delivery that it is in progress, and pings behind that: only where the broker answers has it heard the
   * words before, and what it sends from then on is younger than the ping.
   */
  #keepAlive(): void {
    if (this.#connection.isClosed()) return
    this.#markLate()
    const saidAt = this.#clock()
    for (const delivery of this.#held) {
      const { hold } = delivery
      if (hold === undefined || hold.isLate) continue
      hold.saidFrom = Math.min(hold.saidFrom, saidAt)
      say(this.#path, delivery.ackSubject, IN_PROGRESS)
    }
    this.#connection.flush().then(
      () => this.#heard(saidAt),
      // No answer comes by a connection that is lost, and what comes from now on comes by another.
      () => this.#arrivesSince(this.#clock()),
    )
  }

  #heard(saidAt: number): void {
    this.#markLate()
    this.#arrivesSince(saidAt)
    for (const { hold } of this.#held)
      if (hold !== undefined && hold.saidFrom <= saidAt) hold.keptAt = Math.max(hold.keptAt, saidAt)
  }

  #arrivesSince(at: number): void {
    this.#heardAt = Math.max(this.#heardAt, at)
  }

  /** What was silent too long stays late: the broker may have heard the next word of it after it gave it away. */
  #markLate(): void {
    const oldest = this.#clock() - this.#options.ackWaitMs
    let count = 0
    for (const { hold } of this.#held) {
      if (hold === undefined || hold.keptAt >= oldest || hold.isLate) continue
      hold.isLate = true
      count++
    }
    if (count > 0) this.#options.onLate?.(count)
  }
}
