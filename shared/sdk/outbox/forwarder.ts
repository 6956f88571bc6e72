import type { Names } from '../contract/names.ts'
import { type ErrorCode, PeltonError, toPeltonError } from '../errors.ts'
import type { MessageProducer, Receipt } from '../producer.ts'
import { Wake } from '../wait-for.ts'
import { Pace } from './pace.ts'
import { unansweredError } from './refusals.ts'
import type { SendQueue } from './send-queue.ts'
import type { Store, StoredEntry } from './store.ts'

export interface ForwarderOptions {
  readonly store: Store
  readonly queue: SendQueue
  /** The producer, while the broker can be reached. */
  readonly producer: () => MessageProducer | undefined
  readonly maxInFlight: number
  /** What its broker calls a subject. */
  readonly names: Pick<Names, 'subject'>
  /** An entry was stored by the broker, and taken out. */
  readonly onSent: (entry: StoredEntry, receipt: Receipt) => void
  /** An entry will never be taken, and was moved aside; it grew by `growth` bytes. */
  readonly onRejected: (entry: StoredEntry, growth: number) => void
  /** The folder cannot be read or written any more: nothing is sent from now on. */
  readonly onBroken: () => void
}

/** Entries read from disk at once. */
const READ_AHEAD = 32
/** Bytes of entries under way, beyond which no more are read: a bound on memory. */
const MAX_BYTES_UNDER_WAY = 16 * 1024 ** 2
/** Longest time between two looks, should a wake-up be missed. */
const MAX_PAUSE_MS = 60_000

/** What no broker takes however often it is tried. Everything else is tried again until it is stored. */
const NEVER_TAKEN: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['too-large', 'invalid-argument'])

/**
 * Sends what waits: in order, several at once, each until the broker has stored it or will never take it. An entry is
 * taken out after the broker's word only, so a crash in between sends it again with the same `Nats-Msg-Id`.
 */
export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #pace: Pace
  readonly #wake = new Wake()
  readonly #stopped = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  readonly #running: Promise<void>
  #bytesUnderWay = 0
  #broken: PeltonError | undefined
  #problem: PeltonError | undefined
  /** What keeps single subjects from being stored. */
  readonly #problems = new Map<string, PeltonError>()
  /** Subjects whose sends got no answer since the last one that was stored. */
  readonly #unanswered = new Set<string>()

  constructor(options: ForwarderOptions) {
    this.#options = options
    this.#pace = new Pace(options.maxInFlight)
    this.#running = this.#run()
  }

  /** Why events are not stored just now, all or those of one subject; `undefined` while all is well. */
  get problem(): PeltonError | undefined {
    const [ofSubject] = this.#problems.values()
    return this.#broken ?? this.#problem ?? ofSubject
  }

  /** There may be something to send. */
  wake(): void {
    this.#wake.ring()
  }

  /** The broker is there (again): no need to wait any longer. */
  resume(): void {
    this.#pace.resume()
    this.#options.queue.resume()
    this.#unanswered.clear()
    this.#problem = undefined
    this.wake()
  }

  /** Nothing can be sent because of `why`. */
  suspend(why: PeltonError): void {
    this.#problem = why
  }

  /** Begins nothing any more. What is under way goes on: see {@link settled}. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      const pauseMs = await this.#sendSome().catch((thrown: unknown) => this.#break(thrown))
      if (pauseMs > 0) await this.#wake.sleep(Math.min(pauseMs, MAX_PAUSE_MS), signal).catch(() => undefined)
    }
  }

  /** Reads and sends as much as may be sent now. @returns how long there will be no more, unless woken */
  async #sendSome(): Promise<number> {
    const { queue, store } = this.#options
    const producer = this.#options.producer()
    const now = performance.now()
    const room = this.#pace.room(now, queue.underWay)
    if (producer === undefined || this.#bytesUnderWay > MAX_BYTES_UNDER_WAY) return MAX_PAUSE_MS
    if (room === 0) return this.#pace.pauseMs(now) || MAX_PAUSE_MS
    const positions = queue.take(Math.min(room, READ_AHEAD), now)
    if (positions.length === 0) return queue.pauseMs(now) ?? MAX_PAUSE_MS
    for (const entry of await store.read(positions)) {
      const sending = this.#send(producer, entry).finally(() => this.#underWay.delete(sending))
      this.#underWay.add(sending)
    }
    return 0
  }

  async #send(producer: MessageProducer, entry: StoredEntry): Promise<void> {
    this.#bytesUnderWay += entry.sizeBytes
    try {
      await this.#deal(producer, entry)
    } catch (thrown) {
      this.#break(thrown)
    } finally {
      this.#bytesUnderWay -= entry.sizeBytes
      this.wake()
    }
  }

  async #deal(producer: MessageProducer, entry: StoredEntry): Promise<void> {
    const { position, message, model } = entry
    const { store, queue, onSent } = this.#options
    const word = await producer
      .publishKept(message, model)
      .catch((thrown: unknown) => toPeltonError(thrown, 'internal', 'sending from the outbox failed'))
    if (word instanceof PeltonError) return this.#failed(entry, word)
    this.#pace.succeeded()
    this.#problem = undefined
    this.#unanswered.clear()
    this.#problems.delete(message.subject)
    await store.remove(position)
    queue.settle(position, message.subject)
    onSent(entry, word)
  }

  async #failed(entry: StoredEntry, error: PeltonError): Promise<void> {
    const { queue, store, onRejected } = this.#options
    const { position, message } = entry
    const now = performance.now()
    if (NEVER_TAKEN.has(error.code)) {
      const refusal = { code: error.code, description: error.description, at: Date.now() }
      const growth = await store.reject(entry, refusal)
      this.#problems.delete(message.subject)
      queue.settle(position, message.subject)
      onRejected({ ...entry, refusal, sizeBytes: entry.sizeBytes + growth }, growth)
      return
    }
    if (isOfSubject(error)) {
      this.#problems.set(message.subject, error)
      queue.pause(message.subject, now, error.details.retryAfterMs)
    } else if (error.code === 'broker-unavailable') {
      this.#doubt(message.subject, error, now)
    } else {
      this.#problem = error
      this.#pace.failed(now)
    }
    queue.putBack(position, message.subject)
  }

  /**
   * No answer: the broker is away, or takes nothing of this subject from us (to a missing right there is no answer).
   * The next try is another subject's; only when that has no answer either, it is the broker.
   */
  #doubt(subject: string, error: PeltonError, now: number): void {
    this.#options.queue.doubt(subject, now)
    this.#unanswered.add(subject)
    const why = unansweredError(this.#options.names.subject(subject), error)
    this.#problems.set(subject, why)
    if (this.#unanswered.size < 2) return
    this.#problem = why
    this.#pace.failed(now)
  }

  /** The folder fails. What is in it stays there for the next opening. */
  #break(thrown: unknown): number {
    const why = toPeltonError(thrown, 'outbox-unusable', 'the outbox failed')
    this.#stopped.abort()
    if (this.#broken !== undefined) return 0
    this.#broken = why
    this.#options.onBroken()
    return 0
  }
}

/** Whether a refusal concerns one model and lane only, so that the others can go on. */
function isOfSubject({ code, details }: PeltonError): boolean {
  if (code === 'overloaded' || code === 'rate-limited') return true
  return code === 'undeliverable' || (code === 'stream-full' && details.field === 'max_msgs_per_subject')
}
