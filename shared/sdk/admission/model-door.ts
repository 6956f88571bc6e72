import type { Flow, FlowGate } from '../contract/flow.ts'
import { LANES, type Lane } from '../contract/subjects.ts'
import { CREDIT, type CreditLaw, nextCredit } from './credit.ts'
import { HeardFlow, type PoolFlow } from './heard-flow.ts'
import type { DoorLimit, Refused } from './refused.ts'
import { SourceRates } from './source-rates.ts'
import { Throttle } from './throttle.ts'

/** An event that asks to be let in. */
export interface Asking {
  readonly lane: Lane
  /** Digest of its source. */
  readonly source: string
  /** How long it may take yet, milliseconds; undefined where it has no deadline: such events are never refused for being late. */
  readonly deadlineMs: number | undefined
}

/** The constants of admission; `docs/overload.md` shows how they were chosen. */
export interface AdmissionLaw {
  /** Which part of its deadline an event may be expected to wait, by lane: `low` is refused first, `high` last. */
  readonly waitShare: Readonly<Record<Lane, number>>
  /** Which part of that is left to sources that have more than their share of what is carried. */
  readonly heavyShare: number
  readonly credit: CreditLaw
}

export const ADMISSION: AdmissionLaw = {
  waitShare: { high: 0.6, normal: 0.4, low: 0.2 },
  heavyShare: 0.7,
  credit: CREDIT,
}

/** Words that get lost in between are not made up for longer than this, milliseconds. */
const MOST_AHEAD_MS = 1_000
/** Sooner nobody is asked to come back, milliseconds. */
const SOONEST_MS = 25

/**
 * One model at one door. It knows what waits from the flow, and between two words of that from what it let in itself; so it
 * decides at once and by itself. Knows no clock and no broker: time is passed in, and words of the flow are.
 */
export class ModelDoor {
  readonly #law: AdmissionLaw
  readonly #random: () => number
  readonly #heard = new HeardFlow()
  readonly #rates = new SourceRates()
  readonly #throttle = new Throttle()
  /** Rows let in since the last word, by lane. */
  #since: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  #credit: number
  /** What is left of it, seconds of backlog. */
  #left = 0
  #filledAtMs = Number.NEGATIVE_INFINITY
  #heavy: ReadonlySet<string> = new Set()
  #heavyAtMs = Number.NEGATIVE_INFINITY

  /** @param random a number in [0, 1) */
  constructor(law: AdmissionLaw = ADMISSION, random: () => number = Math.random) {
    this.#law = law
    this.#random = random
    this.#credit = law.credit.most
  }

  /** A word of the flow. @param nowMs of a clock that never goes back, as everywhere below */
  hear(flow: Flow, nowMs: number): void {
    this.#heard.hear(flow, nowMs)
    const pool = this.#heard.at(nowMs)
    if (pool === undefined || flow.by !== 'worker') return
    this.#since = { high: 0, normal: 0, low: 0 }
    const targetMs = this.#targetMs(pool, 'normal', undefined)
    const waitMs = this.waitMs('normal', nowMs)
    if (targetMs === undefined || waitMs === undefined) return
    this.#credit = nextCredit(this.#credit, { waitMs, targetMs }, this.#law.credit)
  }

  /** What the pool says of the model; undefined where nobody was heard lately. */
  flow(nowMs: number): PoolFlow | undefined {
    return this.#heard.at(nowMs)
  }

  /** Backlog seconds a second that this door may add. */
  get credit(): number {
    return this.#credit
  }

  /** How long an event of a lane would wait that were let in now, milliseconds; undefined where that is not known. */
  waitMs(lane: Lane, nowMs: number): number | undefined {
    const pool = this.#heard.at(nowMs)
    if (pool === undefined || pool.drainRows === 0) return undefined
    let rows = pool.aheadRows[lane]
    for (const each of LANES) {
      rows += this.#since[each]
      if (each === lane) break
    }
    const passedMs = Math.min(MOST_AHEAD_MS, nowMs - pool.atMs)
    return Math.max(0, (1_000 * rows) / pool.drainRows - passedMs)
  }

  /**
   * Whether an event is let in. One that is counts from now on; {@link ModelDoor.told} says what the stream made of it.
   *
   * @returns why not; undefined where it is
   */
  decide(asking: Asking, nowMs: number): Refused | undefined {
    const pool = this.#heard.at(nowMs)
    if (pool?.mode === 'off') return undefined
    const rows = pool?.rowsPerEvent ?? 1
    this.#rates.came(asking.source, rows, nowMs)
    const refused = pool === undefined ? this.#throttled(nowMs) : this.#refusal(asking, pool, nowMs)
    if (refused === undefined || pool?.mode === 'observe') this.#letIn(asking, rows, pool)
    return refused
  }

  /** What the stream said of an event that was let in: stored, or refused because of its load. */
  told(isStored: boolean, nowMs: number): void {
    if (isStored) this.#throttle.took(nowMs)
  }

  #letIn({ lane }: Asking, rows: number, pool: PoolFlow | undefined): void {
    this.#since[lane] += rows
    if (pool !== undefined && pool.drainRows > 0) this.#left -= rows / pool.drainRows
  }

  /** Without a word of the flow: by what the stream took of the last ones. */
  #throttled(nowMs: number): Refused | undefined {
    const share = this.#throttle.ask(nowMs)
    if (share === 0 || this.#random() >= share) return undefined
    return refused('throttle', {
      value: 0,
      measured: 100 * share,
      unit: '%',
      retryAfterMs: 1_000,
      because: 'the stream takes few of the events that were sent last, and nobody says how much waits',
    })
  }

  #refusal(asking: Asking, pool: PoolFlow, nowMs: number): Refused | undefined {
    const { lane, deadlineMs } = asking
    this.#throttle.ask(nowMs)
    const gate = pool.gates.find(({ lanes }) => lanes.includes(lane))
    if (gate !== undefined) return refusedByGate(gate)
    const waitMs = this.waitMs(lane, nowMs)
    if (waitMs === undefined) return undefined
    const targetMs = deadlineMs === undefined ? undefined : this.#targetMs(pool, lane, deadlineMs)
    if (targetMs === undefined) return byBacklogSeconds(waitMs, pool.maxBacklogSeconds[lane])
    return this.#late({ ...asking, waitMs, targetMs }, pool, nowMs)
  }

  #late(
    { lane, source, waitMs, targetMs }: Asking & { readonly waitMs: number; readonly targetMs: number },
    pool: PoolFlow,
    nowMs: number,
  ): Refused | undefined {
    const isHeavy = this.#isHeavy(source, pool, nowMs)
    const mostMs = isHeavy ? targetMs * this.#law.heavyShare : targetMs
    if (waitMs > mostMs) {
      const facts = { value: mostMs, measured: waitMs, unit: 'ms', retryAfterMs: waitMs - mostMs }
      const isOfSource = isHeavy && waitMs <= targetMs
      return isOfSource
        ? refused('share', {
            ...facts,
            isOfSource,
            because: 'this source has more than its share of what is carried',
          })
        : refused('backlog', { ...facts, because: `lane ${lane} has as much backlog as its deadlines allow` })
    }
    if (lane === 'high' || waitMs <= mostMs / 2 || this.#hasCredit(targetMs, nowMs)) return undefined
    return refused('credit', {
      value: this.#credit,
      measured: this.#credit - this.#left / (targetMs / 1_000),
      unit: 's/s',
      retryAfterMs: Math.min(1_000, (-1_000 * this.#left) / this.#credit),
      because: 'this door has let in as much as its part of what is carried',
    })
  }

  /** Fills the bucket of the credit up to now: no more than one target of it is kept. */
  #hasCredit(targetMs: number, nowMs: number): boolean {
    const mostS = targetMs / 1_000
    const passedS = Math.min(mostS, (nowMs - this.#filledAtMs) / 1_000)
    this.#left = Math.min(mostS, Math.max(-mostS, this.#left) + passedS * this.#credit)
    this.#filledAtMs = nowMs
    return this.#left > 0
  }

  /** @param deadlineMs of an event; undefined for those that the lane's events bring */
  #targetMs(
    { deadlineMs: ofLane }: PoolFlow,
    lane: Lane,
    deadlineMs: number | undefined,
  ): number | undefined {
    const shortest = ofLane[lane]
    const most = deadlineMs ?? Number.POSITIVE_INFINITY
    const leastMs = shortest > 0 ? Math.min(shortest, most) : most
    return leastMs === Number.POSITIVE_INFINITY ? undefined : Math.max(1, leastMs * this.#law.waitShare[lane])
  }

  /** Known to the workers, who see the events of all doors, or to this door, which sees what it refuses, too. */
  #isHeavy(source: string, { heavy, drainRows }: PoolFlow, nowMs: number): boolean {
    if (heavy.has(source)) return true
    if (nowMs - this.#heavyAtMs >= 100) {
      this.#heavy = this.#rates.heavy(drainRows, nowMs)
      this.#heavyAtMs = nowMs
    }
    return this.#heavy.has(source)
  }
}

type Facts = Pick<Refused, 'value' | 'measured' | 'unit' | 'retryAfterMs' | 'because'>

function refused(limit: DoorLimit, facts: Facts & { readonly isOfSource?: boolean }): Refused {
  return { limit, isOfSource: false, ...facts, retryAfterMs: Math.max(SOONEST_MS, facts.retryAfterMs) }
}

function refusedByGate({ limit, value, measured, retryAfterMs, because }: FlowGate): Refused {
  return {
    ...{ limit, value, measured, unit: '', isOfSource: false },
    retryAfterMs: Math.max(1_000, retryAfterMs),
    because: because ?? `${limit} is as full as it may be`,
  }
}

function byBacklogSeconds(waitMs: number, mostSeconds: number): Refused | undefined {
  if (mostSeconds === 0 || waitMs <= 1_000 * mostSeconds) return undefined
  return refused('maxBacklogSeconds', {
    value: mostSeconds,
    measured: waitMs / 1_000,
    unit: 's',
    retryAfterMs: waitMs - 1_000 * mostSeconds,
    because: 'more waits in its lane than the model allows',
  })
}
