import { channel } from 'node:diagnostics_channel'
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { refusalError } from './admission/refused.ts'
import { subjects } from './contract/subjects.ts'
import { COPY_HEADROOM_BYTES, REPLAY_HEADROOM_BYTES, STREAMS } from './contract/topology.ts'
import { tracePublish } from './diagnostics.ts'
import { PeltonError } from './errors.ts'
import { type EventMessage, type EventOrigin, type EventToPublish, eventMessage } from './event-message.ts'
import { patientApi, streamInfo } from './jetstream/api.ts'
import type { Waiting } from './jetstream/election.ts'
import { namesOf } from './jetstream/names-of.ts'
import { notOnBroker } from './jetstream/not-on-broker.ts'
import { isFull } from './jetstream/publish-reply.ts'
import { inboxPrefixOf, PublishWindow } from './jetstream/publish-window.ts'
import { type Link, openLink } from './link.ts'
import { PendingBuffer } from './pending-buffer.ts'
import { type Asked, createProducerDoor, notLetIn, type ProducerDoor } from './producer-door.ts'
import { type ProducerOptions, type ProducerSettings, readProducerSettings } from './producer-settings.ts'
import { canPass, publishRefusal, tooLarge, unknownFate } from './publish-refusal.ts'
import { ReplyInbox } from './reply-inbox.ts'
import type { StoredResult } from './result.ts'
import { readWhenStored, type WaitOptions } from './wait-for.ts'

/** The broker's word that an event is stored: it will be answered. */
export interface Receipt {
  readonly token: string
  readonly id: string
  /** Position of the event in FEATURES; of the first one, for a duplicate. */
  readonly sequence: number
  /**
   * The stream held this id already and stored nothing new. After `tries` above 1 that is most likely an earlier try of
   * this very publish.
   */
  readonly duplicate: boolean
  /** How often it was sent. */
  readonly tries: number
}

export interface Producer {
  readonly connection: NatsConnection
  /** Publishes accepted and not settled. */
  readonly pending: number
  /**
   * Publishes one event; resolves once it is stored. Waits to be let in, and while the buffer is full, so a caller that awaits
   * is slowed down to what workers and broker take. Safe to repeat with the same id.
   *
   * @throws PeltonError
   *   - `invalid-argument`, `schema-mismatch`: the event cannot be sent like this
   *   - `too-large`: larger than the broker takes; nothing was sent
   *   - `overloaded`, `rate-limited`: not let in within `admissionWaitMs`; nothing was sent. `details.retryAfterMs` says when to come back
   *   - `stream-full`: not stored, workers are behind
   *   - `broker-unavailable`: no word in time, so it is unknown whether it is stored; repeat it with the same id
   *   - `undeliverable`: the stream refuses it for another reason
   *   - `closed`
   */
  publish(event: EventToPublish): Promise<Receipt>
  /** As {@link Producer.publish}, but does not wait to be let in: throws `overloaded` or `rate-limited` at once. */
  tryPublish(event: EventToPublish): Promise<Receipt>
  /**
   * Publishes one event and waits for its outcome: a prediction, or a failure notice, which is a result and no error.
   * `options.timeoutMs` counts from when the event is stored. @throws as {@link Producer.publish}; `timeout`
   */
  request(event: Omit<EventToPublish, 'replyTo'>, options?: WaitOptions): Promise<StoredResult>
  /** Resolves when `publish()` would not have to wait for room. */
  ready(): Promise<void>
  /**
   * Takes no more events, waits for what is pending, and closes its own connection, never a shared one. May be called
   * again. `timeoutMs` is 30 000 unless given. @throws PeltonError `timeout` when some publishes had no answer by then:
   * they reject, and it is unknown whether they are stored
   */
  close(options?: { readonly timeoutMs?: number }): Promise<void>
}

/** What is told on the `pelton:publish` channel of `node:diagnostics_channel` for each stored event. */
export interface PublishDiagnostics extends Receipt {
  readonly model: string
  readonly sizeBytes: number
  /** From being accepted to being stored. */
  readonly durationMs: number
}

/**
 * Connects, or shares a connection, and checks that FEATURES exists where that may be asked.
 *
 * @throws PeltonError `invalid-argument`, `broker-unavailable`, `broker-too-old`, `not-provisioned`
 */
export async function createProducer(options: ProducerOptions): Promise<Producer> {
  return createMessageProducer(options)
}

/** A producer that also takes events encoded earlier. Internal: `index.ts` does not export it. */
export interface MessageProducer extends Producer {
  /**
   * Publishes a message of `eventMessage()` as it is, identity and times included, and does not ask whether it is let in.
   * @throws as {@link Producer.publish}
   *
   * @param retryForMs how long it is tried again while its fate is unknown, milliseconds, where that is less than for others
   */
  publishMessage(message: EventMessage, model: string, retryForMs?: number): Promise<Receipt>
  /** The same for what an outbox kept, where it is let in just now. @throws as {@link Producer.tryPublish} */
  publishKept(message: EventMessage, model: string): Promise<Receipt>
  /** @throws PeltonError `too-large` for what this broker does not take */
  checkSize(message: EventMessage): void
}

/** {@link createProducer}, for parts of this package; `waiting` for those that try again by themselves. */
export async function createMessageProducer(
  options: ProducerOptions,
  waiting: Waiting = {},
): Promise<MessageProducer> {
  const settings = readProducerSettings(options)
  const name = `pelton producer ${settings.source.slice(0, 64)}`
  const link = await openLink(options, { name, quorumOf: STREAMS.features, ...waiting })
  try {
    return new StreamProducer(link, settings, await readLimits(link))
  } catch (thrown) {
    await link.close()
    throw thrown
  }
}

/** Configuration of FEATURES; empty where this user may not ask. */
type Limits = Readonly<Record<string, unknown>>

async function readLimits({ connection, waiting }: Link): Promise<Limits> {
  const asked = patientApi(() => streamInfo(connection, STREAMS.features), waiting)
  const info = await asked.catch(() => 'unknown' as const)
  waiting.signal?.throwIfAborted()
  if (info === 'unknown') return {}
  if (info !== undefined) return info.config
  const name = namesOf(connection).stream(STREAMS.features)
  throw notOnBroker(`stream ${name}`)
}

/** How a message is sent. */
interface Sending {
  /** Where it asked to be let in. */
  readonly asked?: Asked | undefined
  /** How long it is tried again while its fate is unknown, milliseconds, where that is less than for others. */
  readonly retryForMs?: number | undefined
}

const published = channel('pelton:publish')

class StreamProducer implements MessageProducer {
  readonly #link: Link
  readonly #settings: ProducerSettings
  readonly #limits: Limits
  /** Of every event it makes. */
  readonly #origin: Required<Omit<EventOrigin, 'now'>>
  /** FEATURES, as the broker has it. */
  readonly #stream: string
  readonly #window: PublishWindow
  readonly #buffer: PendingBuffer
  readonly #door: ProducerDoor
  readonly #retryForMs: number
  readonly #giveUp = new AbortController()
  #replies: ReplyInbox | undefined
  #closing: Promise<void> | undefined

  constructor(link: Link, settings: ProducerSettings, limits: Limits) {
    this.#link = link
    setMaxListeners(0, this.#giveUp.signal) // one for each publish that waits to try again
    this.#settings = settings
    this.#limits = limits
    const { stream, replyRoots } = namesOf(link.connection)
    const { source, pool } = settings
    this.#origin = { source, pool, replyRoots, inboxPrefix: inboxPrefixOf(link.connection) }
    this.#stream = stream(STREAMS.features)
    const { maxInFlight, ackTimeoutMs, maxBuffered, maxBufferedBytes, retryForMs } = settings
    this.#window = new PublishWindow(link.connection, { maxInFlight, timeoutMs: ackTimeoutMs })
    this.#buffer = new PendingBuffer(maxBuffered, maxBufferedBytes)
    this.#door = createProducerDoor(link.connection, settings)
    const duplicateWindowMs = Number(limits.duplicate_window ?? Number.NaN) / 1e6
    this.#retryForMs = duplicateWindowMs > 0 ? Math.min(retryForMs, duplicateWindowMs) : retryForMs
  }

  get connection(): NatsConnection {
    return this.#link.connection
  }

  get pending(): number {
    return this.#buffer.size + this.#door.waiting
  }

  publish(event: EventToPublish): Promise<Receipt> {
    return this.#publish(event, true)
  }

  tryPublish(event: EventToPublish): Promise<Receipt> {
    return this.#publish(event, false)
  }

  async #publish(event: EventToPublish, isPatient: boolean): Promise<Receipt> {
    this.#checkOpen()
    const { source, pool, replyRoots, inboxPrefix } = this.#origin
    return tracePublish({ event, pool, source, by: 'producer' }, (traced) => {
      const now = Date.now()
      const asked = this.#door.ask(traced, now)
      if (!isPatient && asked?.refused !== undefined) throw notLetIn(asked, asked.refused)
      // Encoded before it waits: it is sent as it was given.
      const message = eventMessage(traced, { source, pool, replyRoots, inboxPrefix, now })
      const send = (): Promise<Receipt> => this.#accept(message, traced.model, { asked })
      return asked?.refused === undefined ? send() : this.#door.wait(asked, send)
    })
  }

  async publishKept(message: EventMessage, model: string): Promise<Receipt> {
    this.#checkOpen()
    const asked = this.#door.askKept(message, Date.now())
    if (asked?.refused !== undefined) throw refusalError(asked.refused)
    return this.#accept(message, model, { asked })
  }

  async publishMessage(message: EventMessage, model: string, retryForMs?: number): Promise<Receipt> {
    this.#checkOpen()
    return this.#accept(message, model, { retryForMs })
  }

  async #accept(message: EventMessage, model: string, sending: Sending): Promise<Receipt> {
    this.checkSize(message)
    if (!this.#buffer.tryEnter(message.sizeBytes)) await this.#buffer.enter(message.sizeBytes)
    try {
      return await this.#send(message, model, sending)
    } finally {
      this.#buffer.leave(message.sizeBytes)
    }
  }

  async request(event: Omit<EventToPublish, 'replyTo'>, options: WaitOptions = {}): Promise<StoredResult> {
    this.#replies ??= new ReplyInbox(this.connection)
    const { replyTo, wake } = this.#replies.open(event.model)
    try {
      const receipt = await this.publish({ ...event, replyTo })
      // An event that was there before may be answered already: then no worker sends a wake-up.
      const patienceMs = receipt.duplicate ? 0 : Math.min(1_000, options.timeoutMs ?? 1_000)
      await wake.sleep(patienceMs, options.signal)
      return await readWhenStored(this.connection, subjects.result(event.model, receipt.token), wake, options)
    } finally {
      this.#replies.release(replyTo)
    }
  }

  ready(): Promise<void> {
    return this.#buffer.ready()
  }

  close({ timeoutMs = 30_000 }: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#flushAndClose(timeoutMs)
    return this.#closing
  }

  /** One event until the stream's word, a refusal that stays, or the end of patience. */
  async #send(message: EventMessage, model: string, { asked, retryForMs }: Sending): Promise<Receipt> {
    const { id, token, sizeBytes } = message
    const started = performance.now()
    for (let tries = 1; ; tries++) {
      if (this.#giveUp.signal.aborted) throw unknownFate(message, 'the producer was closed')
      const reply = await this.#window.publish(message)
      if (reply.kind === 'stored') {
        this.#door.told(asked, true)
        const receipt = { token, id, sequence: reply.sequence, duplicate: reply.duplicate, tries }
        if (published.hasSubscribers)
          published.publish({ ...receipt, model, sizeBytes, durationMs: performance.now() - started })
        return receipt
      }
      const patienceMs = isFull(reply)
        ? this.#settings.fullRetryMs
        : Math.min(this.#retryForMs, retryForMs ?? this.#retryForMs)
      const pauseMs = Math.min(2_000, 25 * 2 ** tries) * (0.5 + Math.random() / 2)
      if (!canPass(reply) || performance.now() - started + pauseMs >= patienceMs) {
        if (isFull(reply)) this.#door.told(asked, false)
        throw publishRefusal(message, reply, { stream: this.#stream, limits: this.#limits })
      }
      await sleep(pauseMs, undefined, { signal: this.#giveUp.signal }).catch(() => undefined)
    }
  }

  async #flushAndClose(timeoutMs: number): Promise<void> {
    const patience = new AbortController()
    const flushed = await Promise.race([
      this.#door.idle().then(() => this.#buffer.idle().then(() => true)),
      sleep(timeoutMs, false, { signal: patience.signal }).catch(() => false),
    ])
    patience.abort()
    const left = this.pending
    this.#giveUp.abort()
    this.#door.close()
    this.#window.close()
    this.#replies?.close()
    await this.#link.close()
    if (flushed) return
    throw new PeltonError('timeout', `${left} publishes had no answer within ${timeoutMs} ms`, {
      field: 'timeoutMs',
      value: String(timeoutMs),
      remedy: 'Publish them again with the same ids: what is stored is absorbed.',
    })
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new PeltonError('closed', 'this producer is closed')
  }

  checkSize(message: EventMessage): void {
    const maxPayload = this.connection.info?.max_payload ?? 1024 ** 2
    // Its headers name the stream.
    const prefixBytes = this.#stream.length - STREAMS.features.length
    const most = maxPayload - COPY_HEADROOM_BYTES - REPLAY_HEADROOM_BYTES - prefixBytes
    if (message.sizeBytes > most) throw tooLarge(message, most, maxPayload)
  }
}
