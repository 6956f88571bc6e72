import type { NatsConnection } from '@nats-io/transport-node'
import type { Names } from '../contract/names.ts'
import { type DataPath, type DataSubscription, dataPathOf } from './data-path.ts'
import { apiSubject, isAlone } from './domain.ts'
import { type Frame, frameBytes, readFrameHeaders, readStatus } from './frame.ts'
import { namesOf } from './names-of.ts'
import { uniqueInbox } from './publish-window.ts'
import { onReconnect } from './reconnects.ts'

export interface PullRequest {
  /** Messages wanted at most. */
  readonly batch: number
  /** Bytes wanted at most, headers and subjects included. */
  readonly maxBytes: number
  /** How long to wait for the first message. */
  readonly idleMs: number
  /** How long to wait for the rest once some came. 0: take what is there. */
  readonly lingerMs: number
}

export type PullEnd =
  /** As many as were asked for. */
  | 'full'
  /** Nothing more is there, or the time is over. */
  | 'drained'
  /** The next message does not fit into `maxBytes`. */
  | 'too-large'
  /** The pull died: leader change, lost connection, missed heartbeats. Pull again. */
  | 'lost'
  /** The consumer does not exist, or JetStream does not answer. */
  | 'unavailable'
  | 'cancelled'

export interface PullTarget {
  readonly stream: string
  readonly consumer: string
  /**
   * Whether a pull that is lost may stay unnoticed until a second after it should have ended: the broker sends no signs of
   * life then, each of which costs an idle process a turn of its loop.
   *
   * @default whether the server stands alone, and has the streams itself: where nobody is elected no pull is lost but with its
   *   connection
   */
  readonly isPatient?: boolean
}

/**
 * The broker sends a sign of life this often during a pull; two missed ones mean the pull is lost. How soon a lane
 * goes on after an election hangs on it: a pull that was sent before the new leader was there is lost.
 */
const HEARTBEAT_MS = 300

/** Header of a status: messages of the pull that were not handed out. */
const PENDING_MESSAGES = 'nats-pending-messages'

interface OpenPull {
  readonly id: number
  readonly silenceMs: number
  readonly done: (end: PullEnd) => void
  remaining: number
  /** How it ends once so many messages are here: the broker said so before they came. */
  closing: { readonly end: PullEnd; readonly received: number } | undefined
  received: number
  receivedBytes: number
  /** Signs of life so far. */
  heard: number
  guard: NodeJS.Timeout | undefined
}

/**
 * Raw pull requests on one consumer (ADR-37), one at a time, over one long-lived inbox. `consume()` and `fetch()` of
 * the client overfetch, swallow leader changes, or wait for the full expiry.
 */
export class PullLane {
  readonly #connection: NatsConnection
  readonly #path: DataPath
  readonly #requestSubject: string
  readonly #isPatient: boolean | undefined
  readonly #prefix: string
  readonly #subscription: DataSubscription
  readonly #onMessage: (message: Frame) => void
  readonly #stopListening: () => void
  #open: OpenPull | undefined
  #nextId = 0
  #closing: Promise<void> | undefined

  /**
   * @param onMessage gets every message under its plain subject, also one that comes after its pull has ended: nothing is
   *   dropped
   */
  constructor(connection: NatsConnection, target: PullTarget, onMessage: (message: Frame) => void) {
    this.#connection = connection
    this.#path = dataPathOf(connection)
    const names = namesOf(connection)
    this.#onMessage =
      names.prefix === undefined ? onMessage : (message) => onMessage(plainFrame(names, message))
    const stream = names.stream(target.stream)
    this.#requestSubject = apiSubject(connection, `CONSUMER.MSG.NEXT.${stream}.${target.consumer}`)
    this.#isPatient = target.isPatient
    this.#prefix = `${uniqueInbox(connection)}.`
    this.#subscription = this.#path.subscribe(`${this.#prefix}*`, {
      onFrame: (message) => this.#receive(message),
    })
    // What the broker, or another server of it, still holds open for the old connection is not this pull any more.
    this.#stopListening = onReconnect(connection, () => this.#open?.done('lost'))
  }

  /** One pull in two phases: what is there at once, or the first to come; then, if fewer came, the linger for the rest. */
  async pull(request: PullRequest): Promise<{ readonly received: number; readonly end: PullEnd }> {
    const { batch, maxBytes, idleMs, lingerMs } = request
    const { receivedBytes, ...first } = await this.#request(batch, maxBytes, idleMs, true)
    const restBytes = maxBytes - receivedBytes
    if (first.received === 0 || first.end !== 'drained' || lingerMs <= 0 || restBytes <= 0) return first
    const rest = await this.#request(batch - first.received, restBytes, lingerMs, false)
    return { received: first.received + rest.received, end: rest.end }
  }

  /** Ends the pull under way. */
  cancel(): void {
    this.#open?.done('cancelled')
  }

  /**
   * Withdraws what the broker still holds open; resolves once the last message on its way was handed over. May be
   * called again; a pull after it ends `cancelled`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#drain()
    return this.#closing
  }

  async #drain(): Promise<void> {
    this.cancel()
    this.#stopListening()
    if (!this.#connection.isClosed() && !this.#subscription.isClosed)
      await this.#subscription.drain().catch(() => undefined) // the connection is away: nothing to withdraw
  }

  #receive(message: Frame): void {
    if (isStatus(message)) {
      // A status comes under the pull's own inbox; one of an earlier pull says nothing about this one.
      if (this.#open !== undefined && message.subject === this.#prefix + this.#open.id)
        applyStatus(this.#open, message)
      return
    }
    this.#onMessage(message)
    // A delivery keeps its stream's subject: which pull it belongs to cannot be seen. There is one at a time.
    const pull = this.#open
    if (pull === undefined) return
    pull.received++
    pull.receivedBytes += frameBytes(message)
    if (--pull.remaining === 0) pull.done('full')
    else if (pull.closing !== undefined && pull.received >= pull.closing.received) pull.done(pull.closing.end)
    else watch(pull)
  }

  #request(
    batch: number,
    maxBytes: number,
    expiresMs: number,
    noWait: boolean,
  ): Promise<{ readonly received: number; readonly receivedBytes: number; readonly end: PullEnd }> {
    // Nobody would hear the answer: what the broker handed out would wait for the end of its `ack_wait`.
    if (this.#closing !== undefined)
      return Promise.resolve({ received: 0, receivedBytes: 0, end: 'cancelled' })
    return new Promise((resolve) => {
      const isPatient = this.#isPatient ?? isAlone(this.#connection)
      const hasHeartbeat = !isPatient && expiresMs >= 2 * HEARTBEAT_MS
      const pull: OpenPull = {
        id: this.#nextId++,
        silenceMs: hasHeartbeat ? 2.5 * HEARTBEAT_MS : expiresMs + 1_000,
        remaining: batch,
        closing: undefined,
        received: 0,
        receivedBytes: 0,
        heard: 0,
        guard: undefined,
        done: (end) => {
          clearTimeout(pull.guard)
          if (this.#open === pull) this.#open = undefined
          resolve({ received: pull.received, receivedBytes: pull.receivedBytes, end })
        },
      }
      this.#open = pull
      watch(pull)
      const body = {
        batch,
        expires: Math.ceil(expiresMs * 1e6),
        max_bytes: maxBytes,
        ...(noWait && { no_wait: true }),
        ...(hasHeartbeat && { idle_heartbeat: HEARTBEAT_MS * 1e6 }),
      }
      this.#send(pull, JSON.stringify(body))
    })
  }

  #send(pull: OpenPull, body: string): void {
    try {
      this.#path.publish(this.#requestSubject, { body: Buffer.from(body), reply: this.#prefix + pull.id })
    } catch {
      pull.done('lost') // the connection is closed or draining
    }
  }
}

function plainFrame(names: Names, { subject, reply, headerBlock, data }: Frame): Frame {
  return { subject: names.plainSubject(subject), reply, headerBlock, data }
}

/** A pull dies with its leader, silently: only a timer of ours notices. */
function watch(pull: OpenPull): void {
  if (pull.guard === undefined) pull.guard = setTimeout(() => doubt(pull), pull.silenceMs)
  else {
    pull.heard++
    pull.guard.refresh()
  }
}

/** A process that was busy meanwhile reads what has come before it takes the silence for real. */
function doubt(pull: OpenPull): void {
  const heard = pull.heard
  setImmediate(() => {
    if (pull.heard === heard) pull.done('lost')
  })
}

/**
 * A status that ends a pull names how much of it was left. On a replicated stream it overtakes the messages, which wait
 * for their quorum: they are waited for, or they would come while the next pull is open.
 */
function applyStatus(pull: OpenPull, message: Frame): void {
  const { code, description } = readStatus(message) ?? { code: 0, description: '' }
  const end = statusEnd(code, description)
  if (end === undefined) {
    watch(pull)
    return
  }
  const left = Number(readFrameHeaders(message).get(PENDING_MESSAGES) ?? pull.remaining)
  const missing = pull.remaining - left
  if ((end === 'full' || end === 'too-large') && missing > 0) {
    pull.closing = { end, received: pull.received + missing }
    watch(pull)
  } else pull.done(end)
}

/** Statuses arrive as an empty message without a reply subject and with a code. */
function isStatus(message: Frame): boolean {
  return message.reply === ''
}

/** What a status means for the pull; `undefined` for a heartbeat. */
function statusEnd(code: number, description: string): PullEnd | undefined {
  if (code === 100) return undefined
  if (code === 404 || code === 408) return 'drained'
  if (code === 503) return 'unavailable'
  if (code === 409 && /batch completed/i.test(description)) return 'full'
  if (code === 409 && /exceeds maxbytes/i.test(description)) return 'too-large'
  if (code === 409 && /consumer deleted|consumer is push/i.test(description)) return 'unavailable'
  return 'lost'
}
