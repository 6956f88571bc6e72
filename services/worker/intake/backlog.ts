import type { Delivery } from './delivery.ts'

/** Seen in one delivery of a lane, which tells the state of the whole pool for free. */
export interface LaneSight {
  /** When, milliseconds of a monotonic clock. */
  readonly at: number
  /** Deliveries of the lane's consumer so far, to all workers. */
  readonly delivered: number
}

/** What a backlog of unknown length is called: nothing drains it. Seconds. */
const LONGEST_S = 86_400

/**
 * The wait that a backlog means: waiting rows ÷ drain rate.
 *
 * @returns seconds; 0 without a backlog, a day at most and where nothing drains
 */
export function backlogSeconds(waitingRows: number, drainedRowsPerSecond: number): number {
  if (waitingRows <= 0) return 0
  if (drainedRowsPerSecond <= 0) return LONGEST_S
  return Math.min(LONGEST_S, waitingRows / drainedRowsPerSecond)
}

/**
 * Deliveries a second between the first sight and now; what was seen before `windowMs` ago does not count.
 *
 * @param sights in order
 */
export function deliveryRate(sights: readonly LaneSight[], now: number, windowMs: number): number {
  const recent = sights.filter(({ at }) => now - at <= windowMs)
  const [first] = recent
  const last = recent.at(-1)
  if (first === undefined || last === undefined || last.delivered <= first.delivered) return 0
  // To now, not to the last sight: a lane that stopped delivering slows down.
  return ((last.delivered - first.delivered) * 1_000) / Math.max(1, now - first.at)
}

const WINDOW_MS = 10_000
const SIGHT_EVERY_MS = 500

interface Consumer {
  readonly sights: LaneSight[]
  /** Messages not handed out yet. */
  waiting: number
}

/** What this worker sees of its pool's backlog, lane by lane: from deliveries, at no cost to the broker. */
export class Backlog {
  readonly #lanes = new Map<string, Map<string, Consumer>>()
  #rows = 1
  #events = 1

  /**
   * Deliveries that came together, in order: the last one of a consumer tells as much as all.
   *
   * @param now milliseconds of a monotonic clock
   */
  received(deliveries: readonly Delivery[], now: number): void {
    for (const [index, { info, event }] of deliveries.entries()) {
      if (deliveries[index + 1]?.info.consumer === info.consumer) continue
      this.seen(event.route.lane, info.consumer, info.pending, info.consumerSequence, now)
    }
  }

  /** @param now milliseconds of a monotonic clock */
  seen(lane: string, consumer: string, waiting: number, delivered: number, now: number): void {
    const seen = this.#consumer(lane, consumer)
    seen.waiting = waiting
    const { sights } = seen
    const last = sights.at(-1)
    if (last !== undefined && now - last.at < SIGHT_EVERY_MS) return
    sights.push({ at: now, delivered })
    while (now - (sights[0]?.at ?? now) > WINDOW_MS) sights.shift()
  }

  /** A pull found nothing. */
  empty(lane: string, consumer: string): void {
    this.#consumer(lane, consumer).waiting = 0
  }

  /** Events have rows, which only decoding tells: those that ran stand for those that wait. */
  ran(events: number, rows: number): void {
    this.#events += events
    this.#rows += rows
    if (this.#events < 10_000) return
    this.#events /= 2
    this.#rows /= 2
  }

  /** Events that no worker was handed yet, as far as was seen. */
  get waiting(): number {
    let waiting = 0
    for (const lane of this.#lanes.keys()) waiting += this.waitingIn(lane)
    return waiting
  }

  /** The same of one lane. */
  waitingIn(lane: string): number {
    let waiting = 0
    for (const consumer of this.#lanes.get(lane)?.values() ?? []) waiting += consumer.waiting
    return waiting
  }

  /** Waiting rows and what they mean in seconds, for each lane seen so far. */
  read(now: number): { readonly lane: string; readonly rows: number; readonly seconds: number }[] {
    const rowsPerEvent = this.#rows / this.#events
    return [...this.#lanes].map(([lane, consumers]) => {
      let waiting = 0
      let rate = 0
      for (const consumer of consumers.values()) {
        waiting += consumer.waiting
        rate += deliveryRate(consumer.sights, now, WINDOW_MS)
      }
      return { lane, rows: waiting * rowsPerEvent, seconds: backlogSeconds(waiting, rate) }
    })
  }

  #consumer(lane: string, name: string): Consumer {
    const consumers = this.#lanes.get(lane) ?? new Map<string, Consumer>()
    this.#lanes.set(lane, consumers)
    const consumer = consumers.get(name) ?? { sights: [], waiting: 0 }
    consumers.set(name, consumer)
    return consumer
  }
}
