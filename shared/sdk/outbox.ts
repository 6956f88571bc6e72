import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { tracePublish } from './diagnostics.ts'
import type { PeltonError } from './errors.ts'
import { type EventMessage, type EventToPublish, eventMessage } from './event-message.ts'
import { encodeEntry } from './outbox/entry.ts'
import { Forwarder } from './outbox/forwarder.ts'
import { closedError, type Fill, fullError, neverFits, unsentError } from './outbox/refusals.ts'
import { type RejectedEvent, rejectedEvent } from './outbox/rejected-event.ts'
import { SendQueue } from './outbox/send-queue.ts'
import { type OutboxOptions, type OutboxSettings, readOutboxSettings } from './outbox/settings.ts'
import { openStore, type Store, type StoredEntry } from './outbox/store.ts'
import { Uplink } from './outbox/uplink.ts'
import { PendingBuffer } from './pending-buffer.ts'

export type { RejectedEvent } from './outbox/rejected-event.ts'
export type { OutboxOptions } from './outbox/settings.ts'

/** The outbox's word that an event is on disk: it will be sent, also after a restart. */
export interface Accepted {
  readonly id: string
  readonly token: string
  /** Its place in this outbox; the order of sending. */
  readonly position: number
}

export interface OutboxStats {
  /** Events accepted and not stored by the broker yet. */
  readonly waiting: number
  /** Of these: sent, without an answer so far. */
  readonly inFlight: number
  /** Events that the broker will never take. */
  readonly rejected: number
  /** Bytes of waiting and rejected events. */
  readonly sizeBytes: number
  /** How long the oldest waiting event has been here; `undefined` where none waits. */
  readonly oldestAgeMs: number | undefined
  /** Whether the broker can be reached. */
  readonly connected: boolean
  /** Why events are not stored just now, all or those of one model and lane; `undefined` while all is well. */
  readonly problem: PeltonError | undefined
  /** Events that a damaged folder had lost when it was opened with `repair`. */
  readonly lost: number
}

export interface Outbox {
  /**
   * Takes one event; resolves once it is on disk, whether or not the broker is there. Its id, token, time and deadline are
   * fixed from then on. It is sent until the broker has stored it. Publishing the same id again keeps and sends it twice,
   * which the broker absorbs, or at the latest the register of its outcome.
   *
   * `signal` ends waiting for room (see `whenFull`) with its reason; the event is not kept then.
   *
   * @throws PeltonError
   *   - `invalid-argument`, `schema-mismatch`: the event cannot be sent like this
   *   - `too-large`: larger than the broker, where it is known, or the outbox takes
   *   - `outbox-full`: not kept
   *   - `outbox-unusable`: the folder cannot be written; it is unknown whether the event is kept
   *   - `closed`
   */
  publish(event: EventToPublish, options?: { readonly signal?: AbortSignal }): Promise<Accepted>
  /**
   * Resolves once all events accepted before are stored by the broker, or rejected. `timeoutMs` is 30 000 unless given.
   *
   * @throws PeltonError `timeout`, `outbox-unusable`, `closed`; the events stay
   */
  flush(options?: { readonly timeoutMs?: number }): Promise<void>
  stats(): Promise<OutboxStats>
  /** The events that the broker will never take, oldest first. They stay, and count towards the limits, until removed. */
  rejected(): AsyncIterable<RejectedEvent>
  /** Sends a rejected event once more, after the limit that stopped it was raised, say. @returns whether it was there */
  retryRejected(position: number): Promise<boolean>
  /** Gives a rejected event up. @returns whether it was there */
  removeRejected(position: number): Promise<boolean>
  /**
   * Takes no more events, and closes the folder and its own connection, never a shared one. Events that wait stay on disk
   * and are sent after the next opening. With `drain`, waits up to `timeoutMs` (30 000) until there are none. May be called
   * again.
   *
   * @throws PeltonError `timeout` with `drain`, when some were left; all is closed nevertheless
   */
  close(options?: { readonly drain?: boolean; readonly timeoutMs?: number }): Promise<void>
}

/**
 * Opens an outbox: a bounded queue of events on disk, for producers that must not lose events while the broker is away. It
 * needs the package `classic-level`. The broker need not be there; `stats().problem` tells what keeps events waiting.
 *
 * @throws PeltonError `invalid-argument`; `outbox-unusable` for a folder that is open already, damaged, of something else,
 *   or cannot be written, and without `classic-level`
 */
export async function openOutbox(options: OutboxOptions): Promise<Outbox> {
  const settings = readOutboxSettings(options)
  const { path, isSynced, isRepair } = settings
  const store = await openStore({ path, isSynced, isRepair })
  return new LevelOutbox(settings, store, options.onRejected)
}

/** How long publishes under way may take to end when an outbox closes without draining. */
const LAST_ANSWERS_MS = 1_000

class LevelOutbox implements Outbox {
  readonly #settings: OutboxSettings
  readonly #store: Store
  readonly #onRejected: OutboxOptions['onRejected']
  readonly #room: PendingBuffer
  readonly #queue: SendQueue
  readonly #forwarder: Forwarder
  readonly #uplink: Uplink
  readonly #closed = new AbortController()
  /** Events on their way to disk. */
  readonly #keeping = new Set<Promise<Accepted>>()
  readonly #flushes = new Set<() => void>()
  /** Of the last event accepted. */
  #lastPosition = 0
  #closing: Promise<void> | undefined

  constructor(settings: OutboxSettings, store: Store, onRejected: OutboxOptions['onRejected']) {
    this.#settings = settings
    this.#store = store
    this.#onRejected = onRejected
    setMaxListeners(0, this.#closed.signal) // one for each publish that waits for room
    const { maxEvents, maxBytes, maxInFlight, producer } = settings
    this.#room = new PendingBuffer(maxEvents, maxBytes)
    this.#queue = new SendQueue(maxInFlight)
    for (const [subject, positions] of store.found.waiting)
      for (const position of positions) this.#enqueue(position, subject)
    this.#room.occupy(this.#queue.waiting + store.rejectedCount, store.found.sizeBytes)
    this.#uplink = new Uplink(producer, {
      onUp: () => this.#forwarder.resume(),
      onDown: (why) => this.#forwarder.suspend(why),
    })
    this.#forwarder = new Forwarder({
      ...{ store, queue: this.#queue, maxInFlight, names: settings.names },
      producer: () => this.#uplink.producer,
      onSent: ({ sizeBytes }) => this.#left(sizeBytes),
      onRejected: (entry, growth) => this.#rejected(entry, growth),
      onBroken: () => this.#wakeFlushes(),
    })
  }

  publish(event: EventToPublish, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Accepted> {
    const { pool, source } = this.#settings
    return tracePublish({ event, pool, source, by: 'outbox' }, (traced) => this.#accept(traced, signal))
  }

  async #accept(event: EventToPublish, signal: AbortSignal | undefined): Promise<Accepted> {
    this.#checkOpen()
    signal?.throwIfAborted()
    const { source, pool, names, inboxPrefix, maxBytes } = this.#settings
    const { replyRoots } = names
    const message = eventMessage(event, { source, pool, replyRoots, inboxPrefix, now: Date.now() })
    this.#uplink.producer?.checkSize(message)
    const bytes = encodeEntry({ message, model: event.model, acceptedAt: Date.now() })
    if (bytes.length > maxBytes) throw neverFits(bytes.length, maxBytes)
    await this.#takePlace(bytes.length, signal)
    const keeping = this.#keep(bytes, message).finally(() => this.#keeping.delete(keeping))
    this.#keeping.add(keeping)
    return keeping
  }

  /** Writes an entry that has its place. */
  async #keep(bytes: Uint8Array, { id, token, subject }: EventMessage): Promise<Accepted> {
    try {
      this.#checkOpen() // it may have been closed while this waited
      const position = await this.#store.append(bytes)
      this.#enqueue(position, subject)
      this.#forwarder.wake()
      return { id, token, position }
    } catch (thrown) {
      this.#room.leave(bytes.length)
      throw thrown
    }
  }

  async flush({ timeoutMs = 30_000 }: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#checkOpen()
    await this.#sentUpTo(this.#lastPosition, timeoutMs)
  }

  async stats(): Promise<OutboxStats> {
    const oldest = this.#queue.oldest()
    const [first] = oldest === undefined ? [] : await this.#store.read([oldest]).catch(() => []) // sent just now
    return {
      waiting: this.#queue.waiting + this.#queue.underWay,
      inFlight: this.#queue.underWay,
      rejected: this.#store.rejectedCount,
      sizeBytes: this.#room.taken.bytes,
      oldestAgeMs: first && Math.max(0, Date.now() - first.acceptedAt),
      connected: this.#uplink.producer !== undefined,
      problem: this.#forwarder.problem,
      lost: this.#store.found.lost,
    }
  }

  async *rejected(): AsyncGenerator<RejectedEvent, void, void> {
    this.#checkOpen()
    try {
      for await (const entry of this.#store.rejected()) yield rejectedEvent(entry)
    } catch (thrown) {
      this.#checkOpen() // closing ends the reading of the folder
      throw thrown
    }
  }

  async retryRejected(position: number): Promise<boolean> {
    this.#checkOpen()
    const entry = await this.#store.readRejected(position)
    const growth = entry && (await this.#store.restore(entry))
    if (entry === undefined || growth === undefined) return false
    this.#room.occupy(0, growth)
    this.#enqueue(position, entry.message.subject)
    this.#forwarder.wake()
    return true
  }

  async removeRejected(position: number): Promise<boolean> {
    this.#checkOpen()
    const entry = await this.#store.readRejected(position)
    if (entry === undefined || !(await this.#store.removeRejected(position))) return false
    this.#room.leave(entry.sizeBytes)
    return true
  }

  close(options: { readonly drain?: boolean; readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#end(options.drain ?? false, options.timeoutMs ?? 30_000)
    return this.#closing
  }

  async #end(isDraining: boolean, timeoutMs: number): Promise<void> {
    this.#closed.abort(closedError())
    await Promise.allSettled(this.#keeping)
    const failure: unknown =
      isDraining && (await this.#sentUpTo(Infinity, timeoutMs).catch((thrown) => thrown))
    await this.#forwarder.stop()
    await this.#uplink.close(LAST_ANSWERS_MS)
    await this.#forwarder.settled()
    this.#wakeFlushes()
    await this.#store.close()
    if (failure) throw failure
  }

  async #takePlace(sizeBytes: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#room.tryEnter(sizeBytes)) return
    if (!this.#settings.isWaiting) throw fullError(this.#settings, this.#room.taken.messages, this.#fill())
    const closed = this.#closed.signal
    await this.#room.enter(sizeBytes, signal === undefined ? closed : AbortSignal.any([closed, signal]))
  }

  #enqueue(position: number, subject: string): void {
    this.#queue.add(position, subject)
    this.#lastPosition = Math.max(this.#lastPosition, position)
  }

  /** An entry has left the folder. */
  #left(sizeBytes: number): void {
    this.#room.leave(sizeBytes)
    this.#wakeFlushes()
  }

  #rejected(entry: StoredEntry, growth: number): void {
    this.#room.occupy(0, growth)
    this.#wakeFlushes()
    const tell = this.#onRejected
    if (tell !== undefined) queueMicrotask(() => tell(rejectedEvent(entry))) // what it throws is its owner's
  }

  #fill(): Fill {
    const waiting = this.#queue.waiting + this.#queue.underWay
    return { waiting, rejected: this.#store.rejectedCount, problem: this.#forwarder.problem }
  }

  #wakeFlushes(): void {
    for (const check of [...this.#flushes]) check()
  }

  /** Resolves once nothing up to a position is waiting. */
  async #sentUpTo(position: number, timeoutMs: number): Promise<void> {
    const patience = new AbortController()
    const sent = new Promise<void>((resolve) => {
      const check = (): void => {
        const isOver = patience.signal.aborted || this.#forwarder.problem?.code === 'outbox-unusable'
        if (!isOver && this.#queue.hasUpTo(position)) return
        this.#flushes.delete(check)
        resolve()
      }
      this.#flushes.add(check)
      check()
    })
    await Promise.race([
      sent,
      sleep(timeoutMs, undefined, { signal: patience.signal }).catch(() => undefined),
    ])
    patience.abort()
    this.#wakeFlushes()
    if (this.#queue.hasUpTo(position)) throw unsentError(timeoutMs, this.#fill())
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw closedError()
  }
}
