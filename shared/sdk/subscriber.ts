import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { type DeliveryInfo, readDeliverySubject } from './contract/delivery-subject.ts'
import { isOfNewerMajor } from './contract/registered.ts'
import { STREAMS } from './contract/topology.ts'
import { tellHandedOver, tellSettled } from './diagnostics.ts'
import { PeltonError, showValue, toPeltonError } from './errors.ts'
import { ACK, IN_PROGRESS, notNow, say } from './jetstream/ack-words.ts'
import { type DataPath, dataPathOf } from './jetstream/data-path.ts'
import { type Frame, readFrameHeaders } from './jetstream/frame.ts'
import { type PullEnd, PullLane } from './jetstream/pull-lane.ts'
import { type ConnectionOptions, type Link, openLink } from './link.ts'
import { type Failure, type Prediction, readResult, type StoredResult } from './result.ts'
import { ResultQueue } from './result-queue.ts'
import { type ConsumerWish, ResultsConsumer } from './results-consumer.ts'

/** What a subscriber gets: predictions, failure notices, or both. */
export type Include = 'predictions' | 'failures' | 'all'

export interface SubscriberOptions extends ConnectionOptions {
  /**
   * Name under which the broker remembers what was acknowledged: the next subscriber of this name goes on there, and
   * several at once share the results. @default none: an ephemeral subscriber, which forgets
   */
  readonly durable?: string
  /** Only results of this model, or these. @default all models */
  readonly model?: string | readonly string[]
  /** @default 'predictions' */
  readonly include?: Include
  /**
   * Where a new subscription begins: at what is stored from now on, at all that is kept, or at a time. A durable that
   * exists goes on where it was. @default 'new'
   */
  readonly from?: 'new' | 'all' | Date
  /** Results fetched ahead at most. @default 64 */
  readonly batchSize?: number
  /** How long a result may be held without an acknowledgement before it comes again, milliseconds. @default 30_000 */
  readonly ackWaitMs?: number
  /** Results held without an acknowledgement at most; beyond it none come. @default 1_000 */
  readonly maxUnacked?: number
}

/** How a result is settled. Results that are not settled come again after `ackWaitMs`. */
export interface Settling {
  /** Position in RESULTS. */
  readonly sequence: number
  /** How often this result was handed out, from 1. */
  readonly deliveryCount: number
  /** Done with it: it does not come again. Later calls do nothing. */
  ack(): void
  /** Not now: it comes again, after `delayMs` (default 0). Later calls do nothing. */
  retryLater(delayMs?: number): void
}

/** A result as a subscriber gets it. Join it with its event by `id`, or by `token` where several sources share ids. */
export type Result = StoredResult & Settling

/** The results that `include` selects. */
export type ResultOf<I extends Include> = I extends 'predictions'
  ? Prediction & Settling
  : I extends 'failures'
    ? Failure & Settling
    : Result

export interface BatchOptions {
  /** Results in a batch at most. @default 64 */
  readonly maxMessages?: number
  /** How long a batch waits for more after its first result, milliseconds. @default 100 */
  readonly maxWaitMs?: number
}

/**
 * An endless iterable of results, at least once each. It ends with `close()`; leaving a loop does not close it, and
 * several loops share its results.
 *
 * Iterating throws PeltonError `broker-unavailable` when the connection was closed by other means than `close()`.
 */
export interface Subscriber<R extends Result = Result> extends AsyncIterable<R> {
  readonly connection: NatsConnection
  /**
   * Results that left RESULTS, by age or number, before this durable came back for them: it does not get them. Counted over
   * all models and kinds, so for one that filters it is the most there can be; what it had been handed before, and did not
   * acknowledge, is not counted. 0 for a subscription that is new.
   *
   * @experimental
   */
  readonly missed: number
  /** Results in batches, for those who write them on in bulk. Each result is settled by itself. */
  batches(options?: BatchOptions): AsyncIterable<R[]>
  /**
   * Ends iteration, gives back what was fetched ahead, and closes its own connection, never a shared one. What is acked
   * before is acked. May be called again.
   */
  close(): Promise<void>
}

/**
 * Subscribes to results.
 *
 * @throws PeltonError `invalid-argument`, `broker-unavailable`, `broker-too-old`, `not-provisioned`
 */
export async function createSubscriber<I extends Include = 'predictions'>(
  options: SubscriberOptions & { readonly include?: I } = {},
): Promise<Subscriber<ResultOf<I>>> {
  const settings = readSettings(options)
  const name = `pelton subscriber ${options.durable ?? ''}`.trim()
  const link = await openLink(options, { name, quorumOf: STREAMS.results })
  try {
    const consumer = new ResultsConsumer(link.connection, settings)
    await consumer.open(link.waiting)
    // Only results that `include` selects are handed on, which the compiler cannot see.
    return new StreamSubscriber(link, consumer, settings) as unknown as Subscriber<ResultOf<I>>
  } catch (thrown) {
    await link.close()
    throw toPeltonError(thrown, 'broker-unavailable', 'the subscription could not be made')
  }
}

interface Settings extends ConsumerWish {
  readonly include: Include
  readonly batchSize: number
}

function readSettings(options: SubscriberOptions): Settings {
  const { durable, model = [], include = 'predictions', from = 'new' } = options
  const { batchSize = 64, ackWaitMs = 30_000, maxUnacked = 1_000 } = options
  const models = typeof model === 'string' ? [model] : model
  const check = (isUsable: boolean, field: string, value: unknown, remedy: string): void => {
    if (isUsable) return
    const details = { field, value: showValue(value), remedy }
    throw new PeltonError('invalid-argument', 'this setting cannot be used', details)
  }
  const isStart = from === 'new' || from === 'all' || (from instanceof Date && !Number.isNaN(from.getTime()))
  check(isStart, 'from', from, "Give 'new', 'all' or a Date.")
  check(['predictions', 'failures', 'all'].includes(include), 'include', include, 'Use one of the three.')
  check(durable === undefined || /^[\w-]{1,128}$/.test(durable), 'durable', durable, 'Use A-Z a-z 0-9 _ -.')
  for (const [field, value] of Object.entries({ batchSize, maxUnacked }))
    check(Number.isInteger(value) && value >= 1, field, value, 'Give a whole number of 1 or more.')
  check(Number.isInteger(ackWaitMs) && ackWaitMs >= 1_000, 'ackWaitMs', ackWaitMs, 'Give 1000 or more.')
  return { durable, models, include, from, batchSize, ackWaitMs, maxUnacked }
}

/** How long one pull waits for results. The broker sends a sign of life twice a second meanwhile. */
const PULL_MS = 30_000

/** How long an outcome of a newer major of the contract is left alone, until it is looked at again. */
const NEWER_PAUSE_MS = 30_000

/** Bytes of results fetched ahead. More than the largest message, or that one would never come. */
const AHEAD_BYTES = 8 * 1024 ** 2

class StreamSubscriber implements Subscriber {
  readonly #link: Link
  readonly #consumer: ResultsConsumer
  readonly #settings: Settings
  readonly #lane: PullLane
  readonly #path: DataPath
  readonly #queue = new ResultQueue<{ readonly result: Result; readonly replyTo: string }>()
  /** Stream sequences fetched and not acknowledged: where to begin again should the broker lose the consumer. */
  readonly #unsettled = new Set<number>()
  readonly #heartbeat: NodeJS.Timeout
  readonly #stopped = new AbortController()
  readonly #pulling: Promise<void>
  #lastSequence: number | undefined
  #closing: Promise<void> | undefined

  constructor(link: Link, consumer: ResultsConsumer, settings: Settings) {
    this.#link = link
    this.#consumer = consumer
    this.#settings = settings
    this.#path = dataPathOf(link.connection)
    const target = { stream: STREAMS.results, consumer: consumer.name }
    this.#lane = new PullLane(link.connection, target, (message) => this.#receive(message))
    // What waits in the queue is ours to keep alive; what the caller holds is the caller's.
    this.#heartbeat = setInterval(() => this.#keepAlive(), consumer.ackWaitMs / 3)
    this.#heartbeat.unref()
    this.#pulling = this.#pull()
    void link.connection.closed().then(() => this.#disconnected())
  }

  get connection(): NatsConnection {
    return this.#link.connection
  }

  get missed(): number {
    return this.#consumer.missed
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Result, void, void> {
    for (let next = await this.#queue.next(); next !== undefined; next = await this.#queue.next()) {
      tellHandedOver(next.result)
      yield next.result
    }
  }

  async *batches({ maxMessages = 64, maxWaitMs = 100 }: BatchOptions = {}): AsyncGenerator<Result[]> {
    for (;;) {
      const batch = await this.#queue.batch(maxMessages, maxWaitMs)
      if (batch.length === 0) return
      for (const { result } of batch) tellHandedOver(result)
      yield batch.map(({ result }) => result)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#stop()
    return this.#closing
  }

  async #stop(): Promise<void> {
    clearInterval(this.#heartbeat)
    this.#stopped.abort()
    await this.#lane.close()
    for (const { replyTo } of this.#queue.clear()) this.#send(replyTo, notNow())
    this.#queue.end()
    await this.#pulling
    if (!this.connection.isClosed()) {
      await this.connection.flush().catch(() => undefined)
      await this.#consumer.release().catch(() => undefined) // the broker removes it later
    }
    await this.#link.close()
  }

  /** Keeps the queue filled until closed. */
  async #pull(): Promise<void> {
    const { batchSize } = this.#settings
    const maxBytes = Math.max(AHEAD_BYTES, 2 * (this.connection.info?.max_payload ?? 0))
    for (let pauseMs = 100; !this.#stopped.signal.aborted; ) {
      // Not for each that was read: a pull for one result costs as much as one for many.
      await this.#queue.shorterThan(Math.ceil(batchSize / 2))
      if (this.#stopped.signal.aborted) return
      const batch = Math.max(1, batchSize - this.#queue.length)
      const { end } = await this.#lane.pull({ batch, maxBytes, idleMs: PULL_MS, lingerMs: 0 })
      if (end === 'full' || end === 'drained' || end === 'cancelled') {
        pauseMs = 100
        continue
      }
      await this.#mend(end)
      await sleep(pauseMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined)
      pauseMs = Math.min(2 * pauseMs, 2_000)
    }
  }

  /** After a pull that died: nothing to do but pull again, unless the consumer itself is gone. */
  async #mend(end: PullEnd): Promise<void> {
    if (end !== 'unavailable' || this.connection.isClosed()) return
    const last = this.#lastSequence
    const from = last === undefined ? undefined : Math.min(...this.#unsettled, last + 1)
    // Where the broker does not answer now, the next pull asks again.
    const isNew = await this.#consumer.restore(from).catch(() => false)
    if (isNew) for (const { result } of this.#queue.clear()) this.#unsettled.delete(result.sequence)
  }

  #receive(message: Frame): void {
    const replyTo = message.reply
    const delivery = readDeliverySubject(replyTo)
    if (delivery === undefined) return
    const sequence = delivery.streamSequence
    this.#lastSequence = Math.max(this.#lastSequence ?? 0, sequence)
    const headers = readFrameHeaders(message)
    const stored = readResult(message.subject, headers, message.data)
    if (stored !== undefined && this.#isWanted(stored)) {
      this.#unsettled.add(sequence)
      this.#queue.push({ result: this.#settling(stored, delivery, replyTo), replyTo })
    } else if (stored === undefined && isOfNewerMajor(headers)) {
      // Left for a subscriber that speaks it: acknowledged, nobody would get it.
      this.#unsettled.add(sequence)
      this.#send(replyTo, notNow(NEWER_PAUSE_MS))
    } else this.#send(replyTo, ACK)
  }

  #isWanted({ kind }: StoredResult): boolean {
    const { include } = this.#settings
    return include === 'all' || (include === 'failures') === (kind === 'failure')
  }

  #settling(stored: StoredResult, delivery: DeliveryInfo, replyTo: string): Result {
    const { streamSequence: sequence, deliveryCount } = delivery
    let isSettled = false
    const settle = (word: string): void => {
      if (isSettled) return
      isSettled = true
      this.#send(replyTo, word)
      tellSettled(stored, word === ACK ? 'ack' : 'retry-later')
    }
    // Field by field: all results keep one shape.
    const result = stored as StoredResult & { -readonly [Field in keyof Settling]: Settling[Field] }
    result.sequence = sequence
    result.deliveryCount = deliveryCount
    result.ack = () => {
      if (!isSettled) this.#unsettled.delete(sequence)
      settle(ACK)
    }
    result.retryLater = (delayMs = 0) => settle(notNow(delayMs))
    return result
  }

  #keepAlive(): void {
    for (const { replyTo } of this.#queue.items()) this.#send(replyTo, IN_PROGRESS)
  }

  /** What cannot be sent is not lost: the result comes again. */
  #send(replyTo: string, word: string): void {
    if (!this.connection.isClosed()) say(this.#path, replyTo, word)
  }

  #disconnected(): void {
    if (this.#closing !== undefined) return
    this.#stopped.abort()
    clearInterval(this.#heartbeat)
    this.#queue.end(new PeltonError('broker-unavailable', 'the connection of this subscriber was closed'))
  }
}
