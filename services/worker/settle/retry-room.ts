import { keptInRetries } from '../../../shared/sdk/contract/bounds.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Delivery } from '../intake/delivery.ts'
import { type Amount, NOTHING } from '../intake/timed-tally.ts'

/** What the retry lane held when it was looked at, of all pools. */
export interface RetriesLook extends Amount {
  /** The last sequence it had given out. */
  readonly lastSequence: number
  /** Its bound, bytes; Infinity without one. */
  readonly maxBytes: number
  /** Pools whose workers keep to it. */
  readonly pools: number
}

/** What the room of one worker depends on. */
export interface Bound {
  /** What all workers may keep in the retry lane. */
  readonly most: Amount
  /** What it held when it was last looked at. */
  readonly held: Amount
  /** What this worker has added since. */
  readonly added: Amount
  /** Workers: until the next look each may add its share of what was left. */
  readonly workers: number
}

/** What this worker may still add. Pure. */
export function leftOf({ most, held, added, workers }: Bound): Amount {
  const left = (of: 'events' | 'bytes'): number => Math.max(0, (most[of] - held[of]) / workers - added[of])
  return { events: Math.floor(left('events')), bytes: left('bytes') }
}

/** A copy has the headers of a retry beside those of its event, and a line of its own in the store. */
const COPY_BYTES = 1024

export interface RetryRoomDeps {
  /** What the retry lane held when it was last looked at; another object after each look. */
  readonly inRetries: () => RetriesLook
  /** Has it looked at again soon. */
  readonly lookAgain: () => void
  /** What all workers keep in it at most, whatever its bound. */
  readonly most: Amount
  /** Workers of the pool that may add to it: rather too many than too few. */
  readonly workers: () => number
  /** What the largest message there can be counts. */
  readonly maxMessageBytes: number
}

/**
 * How much more this worker may put into RETRIES. The stream cannot refuse: at its bound it would drop the oldest, an
 * accepted event. So all workers together keep it to a part of that. Each takes its share of what was left at its last
 * look, less what it has added since, and what that look may have come too early for. The sequence of each copy it stores
 * tells how many messages came of others since, of any pool, and before those could fill what is kept free it looks again.
 */
export class RetryRoom {
  readonly #deps: RetryRoomDeps
  #look: RetriesLook | undefined
  #added: Amount = NOTHING
  /** What was taken and is not answered: a look may come before it is there. */
  readonly #onTheirWay = new Map<Delivery, Amount>()
  /** Copies of its own that were stored since the look, and the highest sequence of one. */
  #stored = 0
  #highest = 0

  constructor(deps: RetryRoomDeps) {
    this.#deps = deps
  }

  /** What may still be added. @param within a narrower bound, for a kind of copies */
  left(within: Amount = this.#deps.most): Amount {
    const look = this.#seen()
    const kept = keptInRetries(look.maxBytes)
    const unseen = this.#unseenBytes(look)
    if (unseen > kept / 2) this.#deps.lookAgain()
    // As much again may lie there for a moment, of copies that are due: the last quarter is never counted on.
    if (unseen > 2 * kept) return NOTHING
    return this.#share(within, look, this.#added)
  }

  /** What this worker may add to a lane that is empty. @param within a narrower bound, for a kind of copies */
  share(within: Amount = this.#deps.most): Amount {
    return this.#share(within, NOTHING, NOTHING)
  }

  /** Whether a copy of a delivery may be stored. One that lies there already takes its own place. */
  hasRoomFor({ info, sizeBytes }: Delivery): boolean {
    if (info.stream === STREAMS.retries) return true
    const { events, bytes } = this.left()
    return events >= 1 && bytes >= sizeBytes
  }

  /** Counts a copy before it is stored: the next event of the same turn is held against it. */
  take(delivery: Delivery): void {
    const { info, sizeBytes } = delivery
    if (info.stream === STREAMS.retries) return
    this.#seen()
    const copy = { events: 1, bytes: sizeBytes + COPY_BYTES }
    this.#onTheirWay.set(delivery, copy)
    this.#added = plus(this.#added, copy)
  }

  /**
   * What became of a copy.
   *
   * @param sequence where it was stored; undefined where it was not, or nobody knows: it counts to the next look then
   */
  answered(delivery: Delivery, sequence: number | undefined): void {
    const look = this.#seen()
    const copy = this.#onTheirWay.get(delivery)
    this.#onTheirWay.delete(delivery)
    if (sequence === undefined) return
    if (sequence <= look.lastSequence) {
      // The look has it.
      if (copy !== undefined) this.#added = minus(this.#added, copy)
      return
    }
    this.#stored++
    this.#highest = Math.max(this.#highest, sequence)
  }

  /** The last look; after a new one everything is counted anew, but for what is on its way. */
  #seen(): RetriesLook {
    const look = this.#deps.inRetries()
    if (look === this.#look) return look
    this.#look = look
    this.#added = [...this.#onTheirWay.values()].reduce(plus, NOTHING)
    this.#stored = 0
    this.#highest = look.lastSequence
    return look
  }

  /** All workers of the pool share what it may keep, and those of all pools what the stream may. */
  #share(within: Amount, held: Amount, added: Amount): Amount {
    const { most } = this.#deps
    const { maxBytes, pools } = this.#seen()
    const workers = this.#deps.workers()
    const ofPool = {
      events: Math.min(within.events, most.events),
      bytes: Math.min(within.bytes, most.bytes),
    }
    const ofStream = { events: ofPool.events, bytes: keptInRetries(maxBytes) }
    const { events, bytes } = leftOf({ most: ofPool, held, added, workers })
    return {
      events,
      bytes: Math.min(bytes, leftOf({ most: ofStream, held, added, workers: workers * pools }).bytes),
    }
  }

  /** What others can have added since the look, at most. */
  #unseenBytes({ lastSequence }: RetriesLook): number {
    const others = Math.max(0, this.#highest - lastSequence - this.#stored)
    return others * this.#deps.maxMessageBytes
  }
}

function plus(one: Amount, other: Amount): Amount {
  return { events: one.events + other.events, bytes: one.bytes + other.bytes }
}

function minus(one: Amount, other: Amount): Amount {
  return { events: one.events - other.events, bytes: one.bytes - other.bytes }
}
