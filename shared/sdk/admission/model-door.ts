import type { AdmissionMode, Flow, FlowGate } from '../contract/flow.ts'
import type { Lane } from '../contract/subjects.ts'
import { CREDIT, type CreditLaw, nextCredit } from './credit.ts'
import { HeardFlow, type PoolFlow } from './heard-flow.ts'
import { Inflow } from './inflow.ts'
import type { DoorLimit, Refused } from './refused.ts'
import { heavySources, SourceRates } from './source-rates.ts'
import { Throttle } from './throttle.ts'

/** An event that asks to be let in. */
export interface Asking {
  readonly lane: Lane
  /** Digest of its source. */
  readonly source: string
  /** How long it may take yet, milliseconds; undefined where it has no deadline: such events are never refused for being late. */
  readonly deadlineMs: number | undefined
  /** It was refused before, and waited: its source does not ask for more than before. @default false */
  readonly isAgain?: boolean | undefined
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
  waitShare: { high: 0.8, normal: 0.4, low: 0.2 },
  heavyShare: 0.5,
  credit: CREDIT,
}

/** Words that get lost in between are not made up for longer than this, milliseconds. */
const MOST_AHEAD_MS = 1_000
/** Sooner nobody is asked to come back, milliseconds. */
const SOONEST_MS = 25
/** How long what was found out about sources holds, milliseconds. */
const WEIGHED_MS = 100

/** Sources of this door against what it may carry. */
interface Weighed {
  readonly heavy: ReadonlySet<string>
  /** Whether others have no more than their share. */
  readonly areOthers: boolean
  readonly atMs: number
}

/** What an event with a deadline would find, and what it may, milliseconds. */
interface Wait {
  readonly waitMs: number
  readonly targetMs: number
}

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
  readonly #inflow = new Inflow()
  #mode: AdmissionMode = 'enforce'
  #credit: number
  /** What is left of it, seconds of backlog. */
  #left = 0
  #filledAtMs = Number.NEGATIVE_INFINITY
  /** No more than this of it is kept, seconds of backlog: what the lane it binds may wait. */
  #mostLeft = 0.1
  #weighed: Weighed = { heavy: new Set(), areOthers: false, atMs: Number.NEGATIVE_INFINITY }

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
    if (pool === undefined) return
    this.#mode = pool.mode
    if (flow.by !== 'worker') return
    this.#inflow.heard(pool, nowMs)
    // The highest lane that the credit binds.
    const lane = pool.deadlineMs.normal > 0 ? 'normal' : 'low'
    const targetMs = this.#targetMs(pool, lane, undefined)
    const waitMs = this.waitMs(lane, nowMs)
    if (targetMs === undefined || waitMs === undefined) return
    this.#mostLeft = targetMs / 1_000
    this.#credit = nextCredit(this.#credit, { waitMs, targetMs }, this.#law.credit)
  }

  /** What the pool says of the model; undefined where nobody was heard lately. */
  flow(nowMs: number): PoolFlow | undefined {
    return this.#heard.at(nowMs)
  }

  /** As it was heard last, however long ago; `enforce` before that. */
  get mode(): AdmissionMode {
    return this.#mode
  }

  /** Backlog seconds a second that this door may add. */
  get credit(): number {
    return this.#credit
  }

  /** How long an event of a lane would wait that were let in now, milliseconds; undefined where that is not known. */
  waitMs(lane: Lane, nowMs: number): number | undefined {
    const pool = this.#heard.at(nowMs)
    if (pool === undefined || pool.drainRows === 0) return undefined
    const { drainRows } = pool
    const passedS = Math.min(MOST_AHEAD_MS, nowMs - pool.atMs) / 1_000
    const rows = pool.aheadRows[lane] + this.#inflow.sinceRows(lane) - passedS * drainRows
    return (1_000 * Math.max(0, rows)) / (drainRows * this.#inflow.partOf(lane, drainRows))
  }

  /**
   * Whether an event is let in. One that is counts from now on; {@link ModelDoor.told} says what the stream made of it.
   *
   * @returns why not; undefined where it is. While the mode is `observe` it is let in all the same
   */
  decide(asking: Asking, nowMs: number): Refused | undefined {
    if (this.#mode === 'off') return undefined
    const pool = this.#heard.at(nowMs)
    const rows = pool?.rowsPerEvent ?? 1
    if (asking.deadlineMs !== undefined && asking.isAgain !== true)
      this.#rates.came(asking.source, rows, nowMs)
    const refused = this.#refusal(asking, pool, nowMs)
    if (refused === undefined || this.#mode === 'observe') this.#letIn(asking, rows, nowMs)
    else if (refused.limit === THROTTLED) this.#throttle.ended(false, nowMs)
    return refused
  }

  /** Why an event would be refused. It is not counted: it is asked before it is known whether there is an event. */
  look(asking: Asking, nowMs: number): Refused | undefined {
    return this.#mode === 'enforce' ? this.#refusal(asking, this.#heard.at(nowMs), nowMs) : undefined
  }

  /** How long events of a lane may be expected to wait, milliseconds; undefined where none brings a deadline. */
  mostWaitMs(lane: Lane, nowMs: number): number | undefined {
    const pool = this.#heard.at(nowMs)
    return pool && this.#targetMs(pool, lane, undefined)
  }

  /** What the stream said of an event that was let in: stored, or refused because of its load. */
  told(isStored: boolean, nowMs: number): void {
    this.#throttle.ended(isStored, nowMs)
  }

  #letIn({ lane }: Asking, rows: number, nowMs: number): void {
    const drainRows = this.#heard.at(nowMs)?.drainRows ?? 0
    this.#inflow.letIn(lane, rows)
    if (drainRows > 0) this.#left = this.#creditLeft(nowMs) - rows / drainRows
    this.#throttle.letBy(nowMs)
  }

  #refusal(asking: Asking, pool: PoolFlow | undefined, nowMs: number): Refused | undefined {
    const { lane, deadlineMs } = asking
    const gate = pool && gateOf(pool, lane)
    if (gate !== undefined) return refusedByGate(gate)
    const waitMs = this.waitMs(lane, nowMs)
    if (pool === undefined || waitMs === undefined) return this.#throttled(nowMs)
    const targetMs = deadlineMs === undefined ? undefined : this.#targetMs(pool, lane, deadlineMs)
    if (targetMs === undefined) return byBacklogSeconds(waitMs, pool.maxBacklogSeconds[lane])
    return this.#late(asking, { waitMs, targetMs }, pool, nowMs)
  }

  /** Where nobody says how long it would wait: by what the stream took of the last ones. */
  #throttled(nowMs: number): Refused | undefined {
    const share = this.#throttle.share(nowMs)
    if (share === 0 || this.#random() >= share) return undefined
    return refused(THROTTLED, {
      value: 0,
      measured: 100 * share,
      unit: '%',
      retryAfterMs: 1_000,
      because:
        'the stream takes few of the events that were sent last, and nobody says how long one would wait',
    })
  }

  #late(asking: Asking, wait: Wait, pool: PoolFlow, nowMs: number): Refused | undefined {
    const { lane, source } = asking
    const { waitMs, targetMs } = wait
    const isHeavy = this.#isHeavy(source, pool, nowMs)
    const mostMs = isHeavy ? targetMs * this.#law.heavyShare : targetMs
    if (waitMs > mostMs) return this.#tooLate(asking, wait, pool, mostMs)
    // Who has no more than its share has it whatever the others ask for, and a short queue is nobody's.
    if (lane === 'high' || !isHeavy || waitMs <= mostMs / 2 || this.#creditLeft(nowMs) > 0) return undefined
    return refused('credit', {
      value: this.#credit,
      measured: this.#credit - this.#left / this.#mostLeft,
      unit: 's/s',
      retryAfterMs: Math.min(1_000, (-1_000 * this.#left) / this.#credit),
      because: 'this door has let in as much as its part of what is carried',
    })
  }

  #tooLate(asking: Asking, wait: Wait, { heavy }: PoolFlow, mostMs: number): Refused {
    const { lane, source } = asking
    const { waitMs, targetMs } = wait
    const facts = { value: mostMs, measured: waitMs, unit: 'ms', retryAfterMs: waitMs - mostMs }
    const isOfSource = waitMs <= targetMs && (heavy.has(source) || this.#weighed.areOthers)
    return isOfSource
      ? refused('share', {
          ...facts,
          isOfSource,
          because: 'its source has more than its share of what is carried',
        })
      : refused('backlog', { ...facts, because: `lane ${lane} has as much backlog as its deadlines allow` })
  }

  /** What is left of the credit, filled up to now. */
  #creditLeft(nowMs: number): number {
    const most = this.#mostLeft
    const gained = Math.min(most, ((nowMs - this.#filledAtMs) / 1_000) * this.#credit)
    this.#left = Math.min(most, Math.max(-most, this.#left) + gained)
    this.#filledAtMs = nowMs
    return this.#left
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

  /**
   * Whether a source asks for more than its max-min share: known to the workers, who see the events of all doors, or to this
   * door, which sees what it refuses, too. Its part of what is carried is at least what it lets in of all.
   */
  #isHeavy(source: string, { heavy, drainRows }: PoolFlow, nowMs: number): boolean {
    if (heavy.has(source)) return true
    if (nowMs - this.#weighed.atMs >= WEIGHED_MS) {
      const rates = this.#rates.rates(nowMs)
      const part = Math.min(1, Math.max(this.#credit, this.#inflow.share))
      const ofDoor = heavySources(rates, part * drainRows)
      this.#weighed = { heavy: ofDoor, areOthers: ofDoor.size < rates.size, atMs: nowMs }
    }
    return this.#weighed.heavy.has(this.#rates.countedAs(source))
  }
}

type Facts = Pick<Refused, 'value' | 'measured' | 'unit' | 'retryAfterMs' | 'because'>

const THROTTLED = 'throttle' satisfies DoorLimit

function refused(limit: DoorLimit, facts: Facts & { readonly isOfSource?: boolean }): Refused {
  return { limit, isOfSource: false, ...facts, retryAfterMs: Math.max(SOONEST_MS, facts.retryAfterMs) }
}

function gateOf({ gates }: PoolFlow, lane: Lane): FlowGate | undefined {
  return gates.length === 0 ? undefined : gates.find(({ lanes }) => lanes.includes(lane))
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
