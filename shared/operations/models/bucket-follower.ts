import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { readDeliverySubject } from '../../sdk/contract/delivery-subject.ts'
import { messageOf, type PeltonError } from '../../sdk/errors.ts'
import { findApi, NOT_FOUND } from '../../sdk/jetstream/api.ts'
import { type Frame, readFrameHeaders } from '../../sdk/jetstream/frame.ts'
import { notOnBroker } from '../../sdk/jetstream/not-on-broker.ts'
import { uniqueInbox } from '../../sdk/jetstream/publish-window.ts'
import { type PullEnd, PullLane } from '../../sdk/jetstream/pull-lane.ts'

/** The last value of a key. */
export interface KeyChange {
  readonly subject: string
  readonly revision: number
  /** When it was stored, milliseconds since 1970 by the broker's clock. */
  readonly storedAt: number
  /** Undefined where the key was deleted. */
  readonly body: Uint8Array | undefined
}

export interface FollowOptions {
  /** The stream behind the bucket. */
  readonly stream: string
  /** Subject filter, of keys. */
  readonly filter: string
  /** Told each time all keys were read: at first, and whenever something may have been missed. Others are not there. */
  readonly onWhole: (keys: readonly KeyChange[]) => void
  /** Told what changes from then on. */
  readonly onChange: (change: KeyChange) => void
  /** The broker answered, and had nothing new. */
  readonly onIdle: () => void
  /** Told when the bucket cannot be followed, once until it can again. */
  readonly onProblem: (text: string) => void
}

/** Follows the keys of a bucket. */
export interface BucketFollower {
  /** Resolves once everything was read for the first time. Rejects with `not-provisioned` where the bucket is missing. */
  readonly ready: Promise<void>
  close(): Promise<void>
}

const IDLE_MS = 1_000
const PAGE = 256
const PAGE_BYTES = 8 * 1024 ** 2
/** The broker forgets a follower that nobody pulls for. */
const INACTIVE_NANOS = 30e9
const LONGEST_PAUSE_MS = 2_000
/** Ends of a pull after which nothing is missing. */
const GOES_ON: ReadonlySet<PullEnd> = new Set(['drained', 'full', 'too-large'])
/** A request under way when a follower is closed is not waited for longer, milliseconds. */
const CLOSING_MS = 1_000

/**
 * Follows a bucket by a temporary consumer. One that is lost (a broker that restarts, a connection that breaks) is made
 * again and reads all keys anew: what was missed meanwhile is seen, and so is a bucket that was made anew.
 */
export function followBucket(connection: NatsConnection, options: FollowOptions): BucketFollower {
  const follower = new Follower(connection, options)
  const ended = follower.run()
  return {
    ready: follower.ready,
    async close() {
      follower.stop()
      await Promise.race([ended, sleep(CLOSING_MS, undefined, { ref: false })])
    },
  }
}

class Follower {
  readonly ready: Promise<void>
  readonly #connection: NatsConnection
  readonly #options: FollowOptions
  readonly #stopping = new AbortController()
  #lane: PullLane | undefined
  #onReady: () => void = () => undefined
  #onMissing: (error: PeltonError) => void = () => undefined

  constructor(connection: NatsConnection, options: FollowOptions) {
    this.#connection = connection
    this.#options = options
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = resolve
      this.#onMissing = reject
    })
    this.ready.catch(() => undefined) // whoever waits for it is told
  }

  stop(): void {
    this.#stopping.abort()
    this.#lane?.cancel()
  }

  async run(): Promise<void> {
    const { signal } = this.#stopping
    let isWell = true
    for (let pauseMs = 0; !signal.aborted; ) {
      const trouble = await this.#followOnce().catch((thrown: unknown) => thrown)
      if (signal.aborted) break
      if (trouble === undefined) {
        isWell = true
        pauseMs = 0
        continue
      }
      if (isWell) this.#options.onProblem(`${this.#options.stream} cannot be followed: ${messageOf(trouble)}`)
      isWell = false
      pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs + 100)
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
    this.#onReady() // nobody waits for what is closed
  }

  /** Reads everything and follows until the consumer is lost. Throws where there was none to begin with. */
  async #followOnce(): Promise<void> {
    const { stream } = this.#options
    const consumer = await this.#createConsumer()
    const round = new Round(this.#options, consumer.num_pending)
    const target = { stream, consumer: consumer.name, isPatient: true }
    const lane = new PullLane(this.#connection, target, (message) => round.add(message))
    this.#lane = lane
    if (consumer.num_pending === 0 && round.closePage(true)) this.#onReady()
    try {
      while (!this.#stopping.signal.aborted) {
        const { end } = await lane.pull({
          batch: PAGE,
          maxBytes: this.#pageBytes,
          idleMs: IDLE_MS,
          lingerMs: 0,
        })
        if (round.hasGap || !GOES_ON.has(end)) {
          if (round.isWhole) return
          // The next try comes after a pause.
          throw new Error(`it was lost while everything was read (${end})`)
        }
        if (round.closePage(end === 'drained')) this.#onReady()
        this.#options.onIdle()
      }
    } finally {
      this.#lane = undefined
      await lane.close()
    }
  }

  get #pageBytes(): number {
    return Math.max(PAGE_BYTES, 2 * (this.#connection.info?.max_payload ?? 0))
  }

  async #createConsumer(): Promise<{ readonly name: string; readonly num_pending: number }> {
    const { stream, filter } = this.#options
    const name = `follow-${uniqueInbox(this.#connection).split('.').at(-1)}`
    const config = {
      name,
      deliver_policy: 'last_per_subject',
      filter_subject: filter,
      ack_policy: 'none',
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: INACTIVE_NANOS,
    }
    const subject = `CONSUMER.CREATE.${stream}.${name}.${filter}`
    const asked = { stream_name: stream, config }
    const created = await findApi<{ readonly num_pending: number }>(
      this.#connection,
      subject,
      NOT_FOUND.stream,
      asked,
    )
    if (created !== undefined) return { name, num_pending: created.num_pending }
    const error = notOnBroker(`stream ${stream}`)
    this.#onMissing(error)
    throw error
  }
}

/** What came through one consumer: all keys as they are, then changes. */
class Round {
  hasGap = false
  readonly #options: FollowOptions
  readonly #expected: number
  /** All keys, until they were handed on. */
  #keys: Map<string, KeyChange> | undefined = new Map()
  #received = 0

  constructor(options: FollowOptions, expected: number) {
    this.#options = options
    this.#expected = expected
  }

  get isWhole(): boolean {
    return this.#keys === undefined
  }

  /** Hands all keys on once they are here: a key that changes meanwhile comes again, later. True from then on. */
  closePage(isDrained: boolean): boolean {
    const keys = this.#keys
    if (keys === undefined) return true
    if (!isDrained && this.#received < this.#expected) return false
    this.#keys = undefined
    this.#options.onWhole([...keys.values()])
    return true
  }

  add(message: Frame): void {
    const delivery = readDeliverySubject(message.reply ?? '')
    if (delivery?.consumerSequence !== ++this.#received) {
      this.hasGap = true
      return
    }
    const operation = readFrameHeaders(message).get('kv-operation')
    const isDeleted = operation === 'DEL' || operation === 'PURGE'
    const { streamSequence: revision, storedAt } = delivery
    const { subject } = message
    const change = { subject, revision, storedAt, body: isDeleted ? undefined : message.data }
    if (this.#keys === undefined) this.#options.onChange(change)
    else this.#keys.set(subject, change)
  }
}
