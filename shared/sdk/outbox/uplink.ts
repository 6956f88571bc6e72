import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection, Status } from '@nats-io/transport-node'
import { PeltonError, toPeltonError } from '../errors.ts'
import { createMessageProducer, type MessageProducer } from '../producer.ts'
import type { ProducerOptions } from '../producer-settings.ts'

/** How long one attempt waits for a broker that elects a leader, milliseconds: another follows. */
const PATIENCE_MS = 10_000

/** What `status()` returns: it ends with the connection, or when stopped, which its type does not tell. */
type Statuses = AsyncIterable<Status> & { readonly stop?: () => void }

export interface UplinkEvents {
  /** The broker is there, for the first time or again. */
  readonly onUp: () => void
  /** The broker cannot be reached, or used. */
  readonly onDown: (why: PeltonError) => void
}

/**
 * A producer that is there whenever the broker is: made as soon as that can be done, and hidden while its connection is
 * down, because the client would keep in memory whatever is published then.
 */
export class Uplink {
  readonly #options: ProducerOptions
  readonly #events: UplinkEvents
  readonly #stopped = new AbortController()
  readonly #connecting: Promise<void>
  #made: MessageProducer | undefined
  #isUp = false

  constructor(options: ProducerOptions, events: UplinkEvents) {
    this.#options = options
    this.#events = events
    this.#connecting = this.#connect()
  }

  /** The producer, while the broker can be reached. */
  get producer(): MessageProducer | undefined {
    return this.#isUp ? this.#made : undefined
  }

  /** Gives what is under way `timeoutMs` to end and closes the connection, unless it is a shared one. */
  async close(timeoutMs: number): Promise<void> {
    this.#stopped.abort()
    if (this.#made === undefined) return // an attempt that still runs closes what it makes
    // What had no answer by then stays in the outbox.
    await this.#made.close({ timeoutMs: this.#isUp ? timeoutMs : 0 }).catch(() => undefined)
    await this.#connecting
  }

  /** Tries until there is a producer, then follows its connection. */
  async #connect(): Promise<void> {
    const { signal } = this.#stopped
    for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(2 * pauseMs, 10_000)) {
      try {
        const producer = await createMessageProducer(this.#options, { patienceMs: PATIENCE_MS, signal })
        const statuses = this.#watch(producer.connection)
        try {
          signal.throwIfAborted()
          await producer.connection.rtt() // a shared connection may be down just now
        } catch (thrown) {
          statuses.stop?.()
          await producer.close({ timeoutMs: 0 })
          throw thrown
        }
        this.#made = producer
        return await this.#follow(statuses)
      } catch (thrown) {
        if (signal.aborted) return
        this.#down(toPeltonError(thrown, 'broker-unavailable', 'the broker cannot be used'))
      }
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined)
    }
  }

  #watch(connection: NatsConnection): Statuses {
    const statuses: Statuses = connection.status()
    this.#stopped.signal.addEventListener('abort', () => statuses.stop?.(), { once: true })
    return statuses
  }

  async #follow(statuses: Statuses): Promise<void> {
    this.#up()
    for await (const { type } of statuses) {
      if (type === 'reconnect') this.#up()
      if (type === 'disconnect') this.#down(new PeltonError('broker-unavailable', 'the connection is lost'))
    }
    if (this.#stopped.signal.aborted) return
    const remedy = 'Close this outbox and open it with another connection: what it accepted is kept.'
    this.#down(new PeltonError('broker-unavailable', 'the shared connection was closed', { remedy }))
  }

  #up(): void {
    this.#isUp = true
    this.#events.onUp()
  }

  #down(why: PeltonError): void {
    this.#isUp = false
    this.#events.onDown(why)
  }
}
