import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { dueConsumer, featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Frame } from '../../../shared/sdk/jetstream/frame.ts'
import { type PullEnd, PullLane } from '../../../shared/sdk/jetstream/pull-lane.ts'
import { envelopeBytes } from './delivery.ts'
import { type Capacity, LEFT_BY, type Room } from './room.ts'

/** One pull, from being asked to its end. */
export interface EndedPull {
  readonly stream: string
  readonly consumer: string
  readonly lane: Lane
  readonly received: number
  readonly end: PullEnd
  readonly durationMs: number
}

export interface IntakeOptions {
  readonly pool: string
  /** What the largest message there can be counts against a pull: never pull with less, or it would wedge its lane. */
  readonly maxMessageBytes: number
  /** How long the broker may wait for the rest of a pull. */
  readonly lingerMs: number
  /**
   * Gets every message, those that came in one turn of the loop together; the room for them is taken already: one row
   * each, and their bytes.
   */
  readonly onMessages: (messages: readonly Frame[]) => void
  /** How many more messages of a consumer may be taken now. @default as many as there is room for */
  readonly most?: (consumer: string) => number
  /** Told of every pull that ended. */
  readonly onPull?: (pull: EndedPull) => void
  /** Told when a pull could not be served, and when it is served again. */
  readonly onTrouble: (consumer: string, end: PullEnd | undefined) => void
}

/**
 * How long a pull waits at the broker for a first message. A drain waits for it: a pull that is withdrawn while the
 * broker hands a message out leaves that message to the end of its `ack_wait`.
 */
const IDLE_MS = 1_500
/** Pulls that are not served are sent again this often at least: an election ends without a word to those who wait. */
const MAX_BACKOFF_MS = 250

/** One lane of the pool, on FEATURES or on RETRIES. */
interface Source {
  readonly stream: string
  readonly consumer: string
  readonly priority: Lane
  readonly lane: PullLane
  /** Messages the next pull asks for: one while idle, more once events flow. */
  ask: number
  /** Bytes the next pull must have: grows while the message at the head is larger than was thought. */
  leastBytes: number
  /** What is left of the room promised to the open pull. */
  promisedRows: number
  promisedBytes: number
}

/** Pulls bounded batches from every lane of a pool, one open pull per lane, never more than there is room for. */
export class Intake {
  readonly #room: Room
  readonly #options: IntakeOptions
  readonly #sources: readonly Source[]
  readonly #stop = new AbortController()
  /** What came in this turn of the loop. */
  readonly #received: Frame[] = []
  #paused = false
  #pulling: Promise<void> | undefined

  constructor(connection: NatsConnection, room: Room, options: IntakeOptions) {
    this.#room = room
    this.#options = options
    this.#sources = LANES.flatMap((lane) =>
      [featureConsumer(options.pool, lane), dueConsumer(options.pool, lane)].map(({ stream, durable_name }) =>
        this.#openSource(connection, stream, durable_name, lane),
      ),
    )
  }

  /** Pulls until stopped. */
  run(): Promise<void> {
    this.#pulling ??= Promise.all(this.#sources.map((source) => this.#pullFor(source))).then(() => undefined)
    return this.#pulling
  }

  /** While paused no pull is opened; those that are open still deliver. */
  set paused(paused: boolean) {
    this.#paused = paused
    if (!paused) this.#room.wake()
  }

  /** Opens no more pulls and waits for those that are open; what they still bring reaches `onMessages`. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#room.wake()
    await this.#pulling
    await Promise.all(this.#sources.map((source) => source.lane.close()))
  }

  #openSource(connection: NatsConnection, stream: string, consumer: string, lane: Lane): Source {
    // What comes from there has waited a while.
    const isPatient = stream === STREAMS.retries ? true : undefined
    const source: Source = {
      stream,
      consumer,
      priority: lane,
      lane: new PullLane(connection, { stream, consumer, ...(isPatient && { isPatient }) }, (message) =>
        this.#receive(source, message),
      ),
      ask: 1,
      leastBytes: this.#options.maxMessageBytes,
      promisedRows: 0,
      promisedBytes: 0,
    }
    return source
  }

  async #pullFor(source: Source): Promise<void> {
    let backoffMs = 0
    let trouble: PullEnd | undefined
    for (let room = await this.#takeRoom(source); room; room = await this.#takeRoom(source)) {
      const startedAt = performance.now()
      const { received, end } = await this.#pullOnce(source, room)
      const { stream, consumer, priority: lane } = source
      const durationMs = performance.now() - startedAt
      this.#options.onPull?.({ stream, consumer, lane, received, end, durationMs })
      source.ask = nextAsk(source.ask, received, end, Math.ceil(this.#room.capacity.rows / 4))
      source.leastBytes = nextLeastBytes(source.leastBytes, received, end, this.#boundsOf(source))
      if (end === 'lost' || end === 'unavailable' || (end === 'too-large' && received === 0)) {
        if (end !== trouble) this.#options.onTrouble(source.consumer, end)
        trouble = end
        backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2 || 50)
        // A pull that was lost in silence has waited already.
        const restMs = Math.max(0, startedAt + backoffMs - performance.now())
        await sleep(restMs, undefined, { signal: this.#stop.signal }).catch(() => undefined)
      } else if (backoffMs > 0) {
        this.#options.onTrouble(source.consumer, undefined)
        trouble = undefined
        backoffMs = 0
      }
    }
  }

  /**
   * Waits until a pull may be opened, and takes the room for it in the same moment: all lanes are woken by one release.
   *
   * @returns what the pull may ask for; `undefined` once stopped
   */
  async #takeRoom(source: Source): Promise<Capacity | undefined> {
    while (!this.#stop.signal.aborted) {
      const { rows, bytes } = this.#freeFor(source)
      const isFree = rows >= 1 && bytes >= source.leastBytes
      if (!this.#paused && isFree && this.#mostOf(source) >= 1) return this.#promise(source)
      await this.#room.released()
    }
    return undefined
  }

  /** The room a source may use: what its lane has to leave is not there for it. */
  #freeFor({ priority }: Source): Capacity {
    const { freeBytes } = this.#room
    return { rows: this.#room.freeRowsFor(priority), bytes: freeBytes - this.#leftBy(priority) }
  }

  /** Bytes that a lane leaves; never so many that a pull for the largest message could not be opened on every lane. */
  #leftBy(lane: Lane): number {
    const { bytes } = this.#room.capacity
    const spare = Math.max(0, bytes - this.#sources.length * this.#options.maxMessageBytes)
    return Math.min(spare, Math.floor(bytes * LEFT_BY[lane]))
  }

  #promise(source: Source): Capacity {
    const free = this.#freeFor(source)
    const rows = Math.min(source.ask, free.rows, this.#mostOf(source))
    const share = Math.floor(this.#room.capacity.bytes / (2 * this.#sources.length))
    const bytes = rows === 1 ? source.leastBytes : Math.min(free.bytes, Math.max(share, source.leastBytes))
    this.#room.take(rows, bytes)
    source.promisedRows = rows
    source.promisedBytes = bytes
    return { rows, bytes }
  }

  #mostOf({ consumer }: Source): number {
    return this.#options.most?.(consumer) ?? Number.POSITIVE_INFINITY
  }

  async #pullOnce(
    source: Source,
    { rows: batch, bytes: maxBytes }: Capacity,
  ): Promise<{ readonly received: number; readonly end: PullEnd }> {
    const { lingerMs } = this.#options
    const result = await source.lane.pull({ batch, maxBytes, idleMs: IDLE_MS, lingerMs })
    this.#room.release(source.promisedRows, source.promisedBytes)
    source.promisedRows = 0
    source.promisedBytes = 0
    return result
  }

  /** Between what the largest message takes and what is left when every other lane has promised as much. */
  #boundsOf({ priority }: Source): { readonly least: number; readonly most: number } {
    const least = this.#options.maxMessageBytes
    const others = (this.#sources.length - 1) * least + this.#leftBy(priority)
    return { least, most: Math.max(least, this.#room.capacity.bytes - others) }
  }

  /** The promise becomes a delivery: what it takes moves from promised to held. */
  #receive(source: Source, message: Frame): void {
    const bytes = envelopeBytes(message)
    const rows = Math.min(1, source.promisedRows)
    const promisedBytes = Math.min(bytes, source.promisedBytes)
    source.promisedRows -= rows
    source.promisedBytes -= promisedBytes
    this.#room.take(1 - rows, bytes - promisedBytes)
    // In a microtask: before a pull that ends with this message is followed by the next, which looks at the room.
    if (this.#received.push(message) === 1) queueMicrotask(() => this.#handOver())
  }

  #handOver(): void {
    this.#options.onMessages(this.#received.splice(0))
  }
}

/**
 * Doubles when a pull ended without the message at the head, which is larger than any was thought to be; falls back
 * as soon as something came: a pull that is cut after messages says only that they are many.
 */
export function nextLeastBytes(
  now: number,
  received: number,
  end: PullEnd,
  { least, most }: { readonly least: number; readonly most: number },
): number {
  if (received > 0) return least
  return end === 'too-large' ? Math.min(most, now * 2) : now
}

/** Grows while pulls come back full, falls back to one when nothing came: a waiting pull is a promise. */
export function nextAsk(ask: number, received: number, end: PullEnd, most: number): number {
  if (received === 0) return 1
  if (end === 'full') return Math.min(most, ask * 4)
  return Math.max(1, Math.min(ask, received * 2))
}
