import { ARRIVALS_FIRST_MS, PROBE_EVENTS } from '../../../shared/operations/models/breaker.ts'
import { parkedMessage, readParking } from '../../../shared/sdk/contract/parked.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { type Delivery, returnsOf, wasParked } from '../intake/delivery.ts'
import { type Amount, TimedTally } from '../intake/timed-tally.ts'
import type { NotServable, Outcome } from './outcome.ts'
import type { RetryRoom } from './retry-room.ts'

/** What becomes of an event whose model is not servable here. */
export type Place = 'handed-on' | 'parked' | 'held-back' | 'given-up'

/** What becomes of events of a model that fails on everything, once no more of them may be parked. */
export type Beyond = 'hold' | 'dead-letter'

/** What decides it. */
export interface Situation {
  /** Whether another living worker of the pool serves the model. */
  readonly isServedElsewhere: boolean
  /** Whether the event lies in the retry lane already: parked again it takes its own place there. */
  readonly isCopy: boolean
  readonly sizeBytes: number
  /** What this worker may still park. */
  readonly left: Amount
  /** Whether it becomes a dead letter where it may not be parked. */
  readonly isGivenUp: boolean
}

/**
 * Another worker serves the model: the event is handed on to it. Nobody does: it is parked in the retry lane, within
 * bounds. Beyond them it stays in its stream, held back, or is given up. Pure.
 */
export function placeOf(situation: Situation): Place {
  const { isServedElsewhere, isCopy, sizeBytes, left, isGivenUp } = situation
  if (isServedElsewhere) return 'handed-on'
  if (isCopy || (left.events >= 1 && left.bytes >= sizeBytes)) return 'parked'
  return isGivenUp ? 'given-up' : 'held-back'
}

/** What is so in the whole pool: nobody else can do better. */
const IN_WHOLE_POOL: ReadonlySet<NotServable['cause']> = new Set(['operator', 'apart', 'breaker'])

const LEAST_PARKED_MS = 500
const MOST_PARKED_MS = 30_000
/** What comes due is counted so much longer, until it is here again and has another place: a count does not flicker. */
const LATE_MS = 1_000
/** Each look at a parked event costs the broker a copy and a line in the ledger: so many a second of those that wait for long. */
const LOOKS_A_SECOND = 500
/** And so many of those that have just begun to: all of a backlog may be parked within seconds. */
const EARLY_LOOKS_A_SECOND = 2_000

/**
 * How long a parked event waits for its next look, milliseconds: short at first, growing with the time it has waited,
 * 30 s at most, and longer where so many wait that their looks would be a load of their own.
 *
 * @param random a number in [0, 1): copies parked together do not come due together
 */
export function parkedMs(waitedMs: number, parkedEvents: number, random: () => number = Math.random): number {
  const least = Math.max(LEAST_PARKED_MS, (parkedEvents / EARLY_LOOKS_A_SECOND) * 1_000)
  const most = Math.max(MOST_PARKED_MS, (parkedEvents / LOOKS_A_SECOND) * 1_000)
  return Math.min(most, Math.max(least, waitedMs / 2)) * (0.75 + random() / 4)
}

const HANDED_ON_MS = { least: 100, most: 5_000 }
const HELD_BACK_MS = { least: 1_000, most: 30_000 }

/** How long the broker keeps an event that is given back, milliseconds: longer each time. */
export function givenBackMs(place: 'handed-on' | 'held-back', handedOn: number): number {
  const { least, most } = place === 'handed-on' ? HANDED_ON_MS : HELD_BACK_MS
  return Math.min(most, least * 2 ** Math.min(handedOn, 16))
}

/** How often an event of a model that runs apart is handed on before it waits in the retry lane. */
const MOST_HANDED_ON = 3

/** What becomes of one for which there is no process for long. */
export const WAITS_APART: Outcome = {
  kind: 'not-servable',
  why: {
    cause: 'apart',
    text: 'it runs apart, one event at a time, and more of its events wait than it can run',
  },
}

/** Whether an event was handed on so often, or parked already, that it shall not be given back again. */
export function isOftenHandedOn(delivery: Delivery): boolean {
  return wasParked(delivery) || (delivery.handedOn ?? 0) >= MOST_HANDED_ON
}

export interface ParkingDeps {
  readonly window: Pick<PublishWindow, 'publish'>
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  readonly room: Pick<RetryRoom, 'left' | 'share' | 'take' | 'answered'>
  /** What may be parked in the retry lane. */
  readonly most: Amount
  /** What becomes of the rest, of a model that fails on everything. @default 'hold' */
  readonly beyond?: Beyond
  readonly isServedElsewhere: (model: string, version: string | undefined) => boolean
  /**
   * Learns what is kept about a delivery that is not the first, and gives what notes that it is given back once more for
   * no fault of its event: that must make no suspect of it.
   */
  readonly look: (delivery: Delivery) => Promise<() => Promise<void>>
  /** Whether the broker has kept the delivery for this worker all the time: no copy is made of what others may have. */
  readonly isKept: (delivery: Delivery) => boolean
}

/** Where events wait whose model is not servable here: nothing of it is theirs, so it costs them neither attempt nor name. */
export class Parking {
  readonly #deps: ParkingDeps
  /** What this worker parked and is not due yet, by model and cause. */
  readonly #parked: TimedTally
  /** What is given back now, by model and cause. */
  readonly #heldBack: TimedTally
  /** By model, how many copies come due for its next probe, and when that is. */
  readonly #forProbe = new Map<string, { readonly at: number; readonly events: number }>()

  constructor(deps: ParkingDeps) {
    this.#deps = deps
    this.#parked = new TimedTally()
    this.#heldBack = new TimedTally()
  }

  /** Events that wait because of this worker, by model and cause: parked, and held back beyond what may be parked. */
  get waiting(): readonly WaitingEvents[] {
    const read = (place: WaitingEvents['place'], tally: TimedTally): WaitingEvents[] =>
      [...tally.read()].map(([key, { events }]) => ({ ...readKey(key), place, events }))
    return [...read('parked', this.#parked), ...read('held-back', this.#heldBack)]
  }

  /** Whether events wait, and so many more might not all be parked. */
  isTight(rows: number): boolean {
    if (this.#parked.size + this.#heldBack.size === 0) return false
    const { room, most } = this.#deps
    const { events, bytes } = this.#left
    return events < rows || bytes < room.share(most).bytes / 8
  }

  /** Finds the event a place to wait, and resolves once it has it. What is not parked is given back, or up, by whoever settles it. */
  async place(delivery: Delivery, why: NotServable): Promise<Place> {
    const { event, info, sizeBytes } = delivery
    const excuse = await this.#deps.look(delivery)
    const place = placeOf({
      isServedElsewhere:
        !IN_WHOLE_POOL.has(why.cause) && this.#deps.isServedElsewhere(event.route.model, event.modelVersion),
      isCopy: info.stream === STREAMS.retries,
      sizeBytes,
      left: this.#left,
      isGivenUp: why.cause === 'breaker' && this.#deps.beyond === 'dead-letter',
    })
    if (place === 'parked' && this.#deps.isKept(delivery) && (await this.#park(delivery, why))) return place
    if (place === 'given-up') return place
    await excuse()
    if (place === 'handed-on') return place
    const forMs = givenBackMs('held-back', delivery.handedOn ?? 0)
    this.#heldBack.add(keyOf(event.route.model, why), event.token, sizeBytes, forMs + LATE_MS)
    return 'held-back'
  }

  close(): void {
    this.#parked.close()
    this.#heldBack.close()
  }

  get #left(): Amount {
    return this.#deps.room.left(this.#deps.most)
  }

  /** @returns false where the retry lane does not take the copy: too large with its headers, or no answer */
  async #park(delivery: Delivery, why: NotServable): Promise<boolean> {
    const { event, info, sizeBytes } = delivery
    const now = this.#deps.now()
    const since = (info.stream === STREAMS.retries && readParking(event).since) || now
    const waitMs = this.#waitMs(event.route.model, why, { now, since })
    // A deadline ends it at its next look, which is then not later than the deadline.
    const dueAt = Math.min(now + waitMs, Math.max(now, event.expiresAt ?? Number.POSITIVE_INFINITY))
    const { storedAt } = info
    const copy = parkedMessage(event, { dueAt, since, returns: returnsOf(delivery), storedAt })
    this.#deps.room.take(delivery)
    this.#parked.add(keyOf(event.route.model, why), event.token, sizeBytes, waitMs + LATE_MS)
    const reply = await this.#deps.window.publish(copy)
    // A PubAck that says `duplicate` is never success: the copy would be gone.
    const isStored = reply.kind === 'stored' && !reply.duplicate
    this.#deps.room.answered(delivery, isStored ? reply.sequence : undefined)
    return isStored
  }

  /** In its own time, and for a few when their model is probed next: else nothing might be there to probe with. */
  #waitMs(
    model: string,
    { probeAt = 0 }: NotServable,
    { now, since }: { readonly now: number; readonly since: number },
  ): number {
    const ownMs = parkedMs(now - since, this.#parked.size)
    const probeMs = probeAt + ARRIVALS_FIRST_MS - now
    if (probeAt <= now || probeMs >= ownMs) return ownMs
    const { at, events } = this.#forProbe.get(model) ?? { at: 0, events: 0 }
    const before = at === probeAt ? events : 0
    if (before >= PROBE_EVENTS) return ownMs
    this.#forProbe.set(model, { at: probeAt, events: before + 1 })
    return probeMs
  }
}

/** Events that wait for a model. */
export interface WaitingEvents extends Pick<NotServable, 'cause'> {
  readonly model: string
  readonly place: 'parked' | 'held-back'
  readonly events: number
}

/** Names hold no control characters, so a model and a cause never run together. */
function keyOf(model: string, { cause }: NotServable): string {
  return `${cause}\n${model}`
}

function readKey(key: string): Pick<WaitingEvents, 'model' | 'cause'> {
  const at = key.indexOf('\n')
  return { cause: key.slice(0, at) as NotServable['cause'], model: key.slice(at + 1) }
}
