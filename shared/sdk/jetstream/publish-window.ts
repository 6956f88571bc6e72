import type { NatsConnection } from '@nats-io/transport-node'
import { encodeHeaderBlock } from '../contract/headers.ts'
import type { Names } from '../contract/names.ts'
import type { OutgoingMessage } from '../contract/outcome.ts'
import { encodeLines, type OutcomeMessage } from '../contract/register-message.ts'
import { type DataPath, type DataSubscription, dataPathOf } from './data-path.ts'
import type { Frame } from './frame.ts'
import { namesOf } from './names-of.ts'
import { type PublishReply, readReply, unsent } from './publish-reply.ts'
import { onReconnect } from './reconnects.ts'
import { refusedLately, whyAway } from './trouble.ts'

/** A message whose headers are written already, with those names in them that the broker has. */
export interface EncodedMessage extends Pick<OutgoingMessage, 'subject' | 'body'> {
  readonly headerBlock: Uint8Array
}

export interface PublishWindowOptions {
  /** Publishes in flight at once. @default 512 */
  readonly maxInFlight?: number
  /** How long an answer may take. @default 5_000 */
  readonly timeoutMs?: number
}

/** Messages that were sent together. */
interface Sending {
  /** Id of the first: the others follow. */
  readonly first: number
  readonly deadline: number
  readonly onReply: OnReply
  /** Of each by its place. */
  readonly states: number[]
  /** Those of which nothing was told yet. */
  left: number
}

const UNSENT = 0
const WAITING = 1
const TOLD = 2

/** Told what became of one of the messages of a batch, by its place: once for each. */
export type OnReply = (index: number, reply: PublishReply) => void

export interface BatchOptions {
  readonly onReply: OnReply
  /** Asked of each right before it is sent: one that may not go is `unknown`. @default all may */
  readonly mayGo?: (index: number) => boolean
}

/** Who waits for places in the window. */
interface Queued {
  readonly places: number
  readonly proceed: () => void
}

/** Messages of a batch that are sent at once, each with a place of its own. */
const MOST_AT_ONCE = 128

/**
 * Our own publisher: one wildcard inbox, a list of what waits, one sweep timer instead of a timer per message, one promise
 * for all messages of a batch. Several times the throughput of the client's `publish()`.
 */
export class PublishWindow {
  readonly #path: DataPath
  readonly #names: Names
  readonly #prefix: string
  readonly #subscription: DataSubscription
  /** Runs while something waits: one that never ends would wake an idle process. */
  #sweeper: NodeJS.Timeout | undefined
  readonly #stopListening: () => void
  readonly #maxInFlight: number
  readonly #timeoutMs: number
  readonly #connection: NatsConnection
  /**
   * In the order of publishing, hence of ids and of deadline; few, and mostly the first is answered next. No Map by id: one that
   * messages pass through leaves behind tables that lead from each to the next, and V8 keeps all that ever stood in them from
   * the first on that has grown old, until it collects the whole heap; and so on from there.
   */
  readonly #sendings: Sending[] = []
  #waiting = 0
  readonly #queue: Queued[] = []
  /** Places taken: they pass from the publishes that end to the one that waits longest. */
  #taken = 0
  #queued = 0
  #nextId = 0
  #closed = false

  constructor(connection: NatsConnection, options: PublishWindowOptions = {}) {
    this.#connection = connection
    this.#path = dataPathOf(connection)
    this.#names = namesOf(connection)
    this.#maxInFlight = options.maxInFlight ?? 512
    this.#timeoutMs = options.timeoutMs ?? 5_000
    this.#prefix = `${uniqueInbox(connection)}.`
    const { length } = this.#prefix
    this.#subscription = this.#path.subscribe(`${this.#prefix}*`, {
      onFrame: (frame) => this.#settle(Number(frame.subject.slice(length)), frame),
      onRefused: (error) => this.#giveUp(error.message), // no answer can come
    })
    // Neither a publish that was on its way nor its answer outlives the connection.
    this.#stopListening = onReconnect(connection, () => this.#giveUp('the connection was lost'))
  }

  /** Publishes waiting for an answer or for room. */
  get pending(): number {
    return this.#waiting + this.#queued
  }

  /**
   * Publishes to a stream and waits for its word. Never rejects: what is not known is `unknown`.
   * Waits for room while the window is full.
   */
  publish(message: Publishable): Promise<PublishReply> {
    return new Promise((resolve) => {
      const options = { onReply: (_: number, reply: PublishReply) => resolve(reply) }
      if (this.#takesPlaces(1)) this.#send([message], options)
      else void this.#places(1).then(() => this.#send([message], options))
    })
  }

  /**
   * The same for many, in their order: `onReply` is told of each, and the promise resolves once all have been sent. Waits
   * for room while the window is full.
   */
  async publishAll(messages: readonly EncodedMessage[], options: BatchOptions): Promise<void> {
    const most = Math.min(MOST_AT_ONCE, this.#maxInFlight)
    for (let from = 0; from < messages.length; from += most) {
      const some = messages.length <= most ? messages : messages.slice(from, from + most)
      if (!this.#takesPlaces(some.length)) await this.#places(some.length)
      this.#send(some, from === 0 ? options : behind(options, from))
    }
  }

  /** Ends the subscription; what still waits, and what is published later, becomes `unknown`. May be called twice. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#sweeper)
    this.#stopListening()
    this.#subscription.unsubscribe()
    this.#giveUp(CLOSED.description)
    for (const { proceed } of this.#queue.splice(0)) proceed()
  }

  #takesPlaces(places: number): boolean {
    if (this.#queue.length > 0 || this.#taken + places > this.#maxInFlight) return false
    this.#taken += places
    return true
  }

  /** Resolves once it has so many places, or once the window is closed. */
  async #places(places: number): Promise<void> {
    if (this.#closed) return
    this.#queued += places
    await new Promise<void>((proceed) => this.#queue.push({ places, proceed }))
    this.#queued -= places
  }

  /** What cannot be sent is told at once; the answers to the rest come later. */
  #send(messages: readonly Publishable[], { onReply, mayGo = () => true }: BatchOptions): void {
    const deadline = performance.now() + this.#timeoutMs
    const left = messages.length
    const states = new Array<number>(left).fill(UNSENT)
    const sending: Sending = { first: this.#nextId, deadline, onReply, states, left }
    this.#sendings.push(sending)
    this.#nextId += left
    for (let index = 0; index < messages.length; index++) {
      const message = messages[index] as Publishable // within the array
      const { body } = message
      const subject = this.#names.subject(message.subject)
      try {
        if (this.#closed) throw new Error(CLOSED.description)
        if (!mayGo(index)) throw new Error('it was not sent any more')
        refuseLongLine(subject)
        const headerBlock = writtenHeaders(message, this.#names)
        this.#path.publish(subject, { body, headerBlock, reply: this.#prefix + (sending.first + index) })
        sending.states[index] = WAITING
        this.#waiting++
        this.#sweeper ??= setInterval(() => this.#sweep(), Math.min(250, this.#timeoutMs / 4)).unref()
      } catch (thrown) {
        this.#tell(sending, index, unsent(thrown))
      }
    }
  }

  #giveUp(description: string): void {
    for (const sending of [...this.#sendings]) this.#tellAll(sending, description)
  }

  #settle(id: number, frame: Frame): void {
    const sending = this.#sendings[this.#placeOf(id)]
    const index = id - (sending?.first ?? 0)
    if (sending?.states[index] === WAITING) this.#tell(sending, index, readReply(frame))
  }

  /** Where the last of those stands that begin with this id or an earlier one; -1 where all begin later. */
  #placeOf(id: number): number {
    const sendings = this.#sendings
    let from = 0
    let to = sendings.length
    // The first two are looked at first: answers come in the order of publishing.
    if (to > 1 && (sendings[1] as Sending).first > id) to = 1
    while (from < to) {
      const middle = (from + to) >> 1
      if ((sendings[middle] as Sending).first > id) to = middle
      else from = middle + 1
    }
    return from - 1
  }

  #tellAll(sending: Sending, description: string): void {
    for (let index = 0; index < sending.states.length; index++)
      if (sending.states[index] === WAITING) this.#tell(sending, index, { kind: 'unknown', description })
  }

  #tell(sending: Sending, index: number, reply: PublishReply): void {
    if (sending.states[index] === WAITING) this.#waiting--
    sending.states[index] = TOLD
    if (--sending.left === 0) this.#remove(sending)
    this.#leave()
    sending.onReply(index, reply)
  }

  #remove(sending: Sending): void {
    if (this.#sendings[0] === sending) this.#sendings.shift()
    else this.#sendings.splice(this.#placeOf(sending.first), 1)
  }

  #leave(): void {
    this.#taken--
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (this.#taken + next.places > this.#maxInFlight) return
      this.#queue.shift()
      this.#taken += next.places
      next.proceed()
    }
  }

  #sweep(): void {
    const now = performance.now()
    for (const sending of [...this.#sendings]) {
      if (sending.deadline > now) break
      this.#tellAll(sending, unanswered(this.#connection, this.#timeoutMs))
    }
    if (this.#waiting > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}

type Publishable = OutgoingMessage | OutcomeMessage | EncodedMessage

function writtenHeaders(message: Publishable, names: Names): Uint8Array {
  if ('headerBlock' in message) return message.headerBlock
  return 'lines' in message ? encodeLines(message) : encodeHeaderBlock(names.headers(message.headers))
}

/** The same options for what stands behind the first `from` messages. */
function behind({ onReply, mayGo }: BatchOptions, from: number): BatchOptions {
  return {
    onReply: (index, reply) => onReply(from + index, reply),
    ...(mayGo !== undefined && { mayGo: (index: number) => mayGo(from + index) }),
  }
}

/** Why no answer came, where the connection knows: it is away, or the broker refused something meanwhile. */
function unanswered(connection: NatsConnection, timeoutMs: number): string {
  const why = whyAway(connection)?.text ?? refusedLately(connection, 2 * timeoutMs)
  return `no answer within ${timeoutMs} ms${why === undefined ? '' : `: ${why}`}`
}

const CLOSED = { kind: 'unknown', description: 'the publisher is closed' } as const

let inboxes = 0

/** An inbox below the connection's own prefix (`_INBOX.<user>`, or `_INBOX`) that this process uses once. */
export function uniqueInbox(connection: NatsConnection): string {
  const client = connection.info?.client_id ?? 0
  return `${inboxPrefixOf(connection)}.pelton-${process.pid}-${client}-${Math.random().toString(36).slice(2, 10)}-${inboxes++}`
}

/** Below what every inbox of a connection lies. */
export function inboxPrefixOf(connection: NatsConnection): string {
  // The client keeps its options on the connection without saying so in its types.
  const { options } = connection as { readonly options?: { readonly inboxPrefix?: string } }
  return options?.inboxPrefix ?? '_INBOX'
}

/** A longer control line makes the broker close the connection: refused here, it harms only its sender. */
function refuseLongLine(subject: string): void {
  if (subject.length > 3_800) throw new RangeError('the subject is longer than the maximum payload line')
}
