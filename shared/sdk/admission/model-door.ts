import type { AdmissionMode, Flow } from '../contract/flow.ts'
import type { Lane } from '../contract/subjects.ts'
import { HeardFlow, type PoolFlow, type SaidGate } from './heard-flow.ts'
import { Inflow } from './inflow.ts'
import { mostWaitMs, rowsAhead, waitBehind } from './pool-wait.ts'
import type { DoorLimit, Refused } from './refused.ts'
import { SourceWeights } from './source-weights.ts'
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
  /**
   * From 0 to 1, thrown once for an event that is looked at more than once: where chance decides it decides the same each time, and
   * with 1 nothing is left to it. @default thrown at each look
   */
  readonly die?: number | undefined
}

/** The constants of admission; `docs/overload.md` shows how they were chosen. */
export interface AdmissionLaw {
  /** Which part of its deadline an event may be expected to wait, by lane: `low` is refused first, `high` last. */
  readonly waitShare: Readonly<Record<Lane, number>>
  /** Which part of that is left to sources that have more than their share of what is carried. */
  readonly heavyShare: number
  /** And which where others are known to have less: those are not to wait behind them. */
  readonly besideShare: number
}

export const ADMISSION: AdmissionLaw = {
  waitShare: { high: 0.8, normal: 0.4, low: 0.2 },
  heavyShare: 0.5,
  besideShare: 0.2,
}

/** Sooner nobody is asked to come back, milliseconds. */
const SOONEST_MS = 25
/** Events that may wait of a model that nothing is known of yet, and when to come back: as long as a few words of the flow take. */
const MOST_UNTRIED = 64
const UNTRIED_MS = 250

/** What an event with a deadline would wait, and from where on it is refused, milliseconds. */
interface Wait {
  readonly waitMs: number
  /** In its own lane. */
  readonly ownMs: number
  readonly mostMs: number
  /** From where on who asks for no more than its share would be. */
  readonly fairMs: number
  readonly isHeavy: boolean
}

/**
 * One model at one door. It knows what waits from the flow, and between two words of that from what it let in itself; so it
 * decides at once and by itself. Knows no clock and no broker: time is passed in, and words of the flow are.
 */
export class ModelDoor {
  readonly #law: AdmissionLaw
  readonly #random: () => number
  readonly #heard = new HeardFlow()
  readonly #sources = new SourceWeights()
  readonly #throttle = new Throttle()
  readonly #inflow = new Inflow()
  #mode: AdmissionMode = 'enforce'

  /** @param random a number in [0, 1) */
  constructor(law: AdmissionLaw = ADMISSION, random: () => number = Math.random) {
    this.#law = law
    this.#random = random
  }

  /** A word of the flow. @param nowMs of a clock that never goes back, as everywhere below */
  hear(flow: Flow, nowMs: number): void {
    this.#heard.hear(flow, nowMs)
    const pool = this.#heard.at(nowMs)
    if (pool === undefined) return
    this.#mode = pool.mode
    if (flow.by === 'worker') this.#inflow.heard(pool, nowMs)
  }

  /** What the pool says of the model; undefined where nobody was heard lately. */
  flow(nowMs: number): PoolFlow | undefined {
    return this.#heard.at(nowMs)
  }

  /** As it was heard last, however long ago; `enforce` before that. */
  get mode(): AdmissionMode {
    return this.#mode
  }

  /** Which part of what comes in at all doors this one lets in, above 0 and up to 1, as far as it can tell. */
  get part(): number {
    return this.#inflow.share
  }

  /** How long an event of a lane would wait that were let in now, milliseconds; undefined where that is not known. */
  waitMs(lane: Lane, nowMs: number): number | undefined {
    const pool = this.#heard.at(nowMs)
    if (pool === undefined || pool.drainRows === 0) return undefined
    return waitBehind(pool, lane, this.#inflow.sinceRows(lane), nowMs)
  }

  /**
   * Whether an event is let in. One that is counts from now on; {@link ModelDoor.told} says what the stream made of it.
   *
   * @returns why not; undefined where it is. While the mode is `observe` it is let in all the same
   */
  decide(asking: Asking, nowMs: number): Refused | undefined {
    if (this.#mode === 'off') return undefined
    const pool = this.#heard.at(nowMs)
    this.#came(asking, pool, nowMs)
    const refused = this.#refusal(asking, pool, nowMs)
    if (refused === undefined || this.#mode === 'observe') this.#letIn(asking, pool, nowMs)
    else if (refused.limit === THROTTLED) this.#throttle.ended(false, nowMs)
    return refused
  }

  /** Why an event would be refused. It is not counted: it is asked before it is known whether there is an event. */
  look(asking: Asking, nowMs: number): Refused | undefined {
    return this.#mode === 'enforce' ? this.#refusal(asking, this.#heard.at(nowMs), nowMs) : undefined
  }

  /**
   * Refuses an event that would not be let in, and counts it as {@link ModelDoor.decide} does.
   *
   * @returns why; undefined where it would be let in: then nothing is counted, and it is asked about again
   */
  refuse(asking: Asking, nowMs: number): Refused | undefined {
    const refused = this.look(asking, nowMs)
    if (refused === undefined) return undefined
    this.#came(asking, this.#heard.at(nowMs), nowMs)
    if (refused.limit === THROTTLED) this.#throttle.ended(false, nowMs)
    return refused
  }

  /** How long events of a lane may be expected to wait, milliseconds; undefined where none brings a deadline. */
  mostWaitMs(lane: Lane, nowMs: number): number | undefined {
    const pool = this.#heard.at(nowMs)
    return pool && mostWaitMs(pool, lane, undefined, this.#law.waitShare[lane])
  }

  /** What the stream said of an event that was let in: stored, or refused because of its load. */
  told(isStored: boolean, nowMs: number): void {
    this.#throttle.ended(isStored, nowMs)
  }

  /** What has no deadline, or waited, is nothing that its source asks for more by. */
  #came({ source, deadlineMs, isAgain }: Asking, pool: PoolFlow | undefined, nowMs: number): void {
    if (deadlineMs !== undefined && isAgain !== true) this.#sources.came(source, rowsOf(pool), nowMs)
  }

  #letIn({ lane }: Asking, pool: PoolFlow | undefined, nowMs: number): void {
    this.#inflow.letIn(lane, rowsOf(pool))
    this.#throttle.letBy(nowMs)
  }

  #refusal(asking: Asking, pool: PoolFlow | undefined, nowMs: number): Refused | undefined {
    const { lane, deadlineMs, die } = asking
    const gate = pool && gateOf(pool, lane)
    if (gate !== undefined) return refusedByGate(gate)
    if (pool === undefined || pool.drainRows === 0)
      return this.#untried(asking, pool, nowMs) ?? this.#throttled(nowMs, die)
    const wait = deadlineMs === undefined ? undefined : this.#waitOf(asking, pool, nowMs)
    if (wait !== undefined) return wait.waitMs > wait.mostMs ? this.#tooLate(asking, wait, pool) : undefined
    const waitMs = waitBehind(pool, lane, this.#inflow.sinceRows(lane), nowMs)
    return byBacklogSeconds(waitMs, pool.maxBacklogSeconds[lane])
  }

  /** While workers have run nothing of a model few of it may wait: what has to be in time is not staked on a guess. */
  #untried({ lane, deadlineMs }: Asking, pool: PoolFlow | undefined, nowMs: number): Refused | undefined {
    if (pool?.hasWorkers !== true || deadlineMs === undefined) return undefined
    const measured = rowsAhead(pool, lane, this.#inflow.sinceRows(lane), nowMs) / pool.rowsPerEvent
    if (measured < MOST_UNTRIED) return undefined
    return refused('backlog', {
      ...{ value: MOST_UNTRIED, measured, unit: 'events', retryAfterMs: UNTRIED_MS },
      because: 'nobody says how long what waits of the model already takes',
    })
  }

  /** Where nobody says how long it would wait: by what the stream took of the last ones. */
  #throttled(nowMs: number, die: number | undefined): Refused | undefined {
    const share = this.#throttle.share(nowMs)
    if (share === 0 || (die ?? this.#random()) >= share) return undefined
    return refused(THROTTLED, {
      value: 0,
      measured: 100 * share,
      unit: '%',
      retryAfterMs: 1_000,
      because:
        'the stream takes few of the events that were sent last, and nobody says how long one would wait',
    })
  }

  /**
   * Who asks for more than its share may wait for less. That makes room for who does not: it may wait as long as lane `high`,
   * and what other doors may have let in is left out, or its few events would be taken for many.
   *
   * @returns undefined where neither the event nor its lane brings a deadline
   */
  #waitOf({ lane, source, deadlineMs }: Asking, pool: PoolFlow, nowMs: number): Wait | undefined {
    const { waitShare, heavyShare, besideShare } = this.#law
    const fairMs = mostWaitMs(pool, lane, deadlineMs, waitShare[lane])
    if (fairMs === undefined) return undefined
    const weight = this.#sources.weightOf(source, pool, this.part, nowMs)
    const since = weight === 'light' ? this.#inflow.ownRows(lane) : this.#inflow.sinceRows(lane)
    const part = {
      heavy: pool.heavy.size > 0 ? besideShare : heavyShare,
      usual: 1,
      light: waitShare.high / waitShare[lane],
    }[weight]
    const ownMs = waitBehind(pool, lane, since, nowMs)
    const waitMs = pool.hot.has(source) ? Math.max(ownMs, this.#othersMs(pool, lane, nowMs)) : ownMs
    return { waitMs, ownMs, fairMs, mostMs: fairMs * part, isHeavy: weight === 'heavy' }
  }

  /**
   * How long what waits in lane `normal` and above takes, where events of that bring deadlines. A source that has most of all goes by
   * it in lane `high`, too: what is urgent to it would otherwise be run before all that others send below.
   */
  #othersMs(pool: PoolFlow, lane: Lane, nowMs: number): number {
    const { deadlineMs, drainRows } = pool
    if (deadlineMs.normal === 0) return 0
    const takesMs = (1_000 * rowsAhead(pool, 'normal', this.#inflow.sinceRows('normal'), nowMs)) / drainRows
    // What is long for the one lane may be nothing for the other.
    return deadlineMs[lane] === 0 ? takesMs : takesMs * Math.min(1, deadlineMs[lane] / deadlineMs.normal)
  }

  #tooLate({ lane, source }: Asking, wait: Wait, { heavy }: PoolFlow): Refused {
    const { waitMs, ownMs, fairMs, mostMs, isHeavy } = wait
    const facts = { value: mostMs, measured: waitMs, unit: 'ms', retryAfterMs: waitMs - mostMs }
    const areOthers = heavy.has(source) || this.#sources.areOthers
    const isOfSource = isHeavy && areOthers && ownMs <= fairMs
    return isOfSource
      ? refused('share', {
          ...{ ...facts, isOfSource },
          because: 'its source has more than its share of what is carried',
        })
      : refused('backlog', { ...facts, because: `lane ${lane} has as much backlog as its deadlines allow` })
  }
}

/** Rows that one event has. */
function rowsOf(pool: PoolFlow | undefined): number {
  return pool?.rowsPerEvent ?? 1
}

type Facts = Pick<Refused, 'value' | 'measured' | 'unit' | 'retryAfterMs' | 'because'>

const THROTTLED = 'throttle' satisfies DoorLimit

function refused(limit: DoorLimit, facts: Facts & { readonly isOfSource?: boolean }): Refused {
  return { limit, isOfSource: false, ...facts, retryAfterMs: Math.max(SOONEST_MS, facts.retryAfterMs) }
}

function gateOf({ gates }: PoolFlow, lane: Lane): SaidGate | undefined {
  return gates.length === 0 ? undefined : gates.find(({ lanes }) => lanes.includes(lane))
}

function refusedByGate({ limit, value, measured, retryAfterMs, because }: SaidGate): Refused {
  return {
    limit,
    value,
    measured,
    unit: '',
    isOfSource: false,
    retryAfterMs: Math.max(1_000, retryAfterMs),
    because,
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
