import { quantile } from '../../scale/stage.ts'
import { intendedTimes, isHigh, type Phase, type Source, sourceOf } from '../load/schedule.ts'

/** What became of an event, as its sender knows it in the end. Bytes, so that a run of many events is small. */
export const FATE = {
  /** Not sent, or nobody took down what came of it: an account with one of these does not close. */
  lost: 0,
  prediction: 1,
  deadLetter: 2,
  refusal: 3,
  /** No answer within its sender's patience, or a connection that broke. */
  inDoubt: 4,
  /** Stored by the broker, its outcome to be looked up. */
  accepted: 5,
} as const

/** A load, and whom it is for. */
export interface Load {
  readonly phases: readonly Phase[]
  /** Part of the events that is important, 0 to 1. */
  readonly highShare: number
  /** From when an event was to be sent, milliseconds. */
  readonly deadlineMs: number
}

/** What became of each event of a load, by index. */
export interface Fates {
  readonly fates: Uint8Array
  /** From when it was to be sent to its answer, milliseconds; NaN where there was none, or none that the sender saw. */
  readonly latencyMs: Float64Array
}

/** Events of one lane, or of all. */
export interface LaneAccount {
  readonly offered: number
  /** Predictions within the deadline, from the intended time. */
  readonly inTime: number
  readonly predictions: number
  readonly deadLetters: number
  readonly refusals: number
  readonly inDoubt: number
  readonly lost: number
  /** Of the predictions their sender saw, milliseconds; NaN of none. */
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Account {
  readonly all: LaneAccount
  readonly high: LaneAccount
  readonly normal: LaneAccount
}

/** A time of a load, milliseconds after it begins. */
export interface Within {
  readonly fromMs: number
  readonly toMs: number
}

const WHOLE: Within = { fromMs: 0, toMs: Number.POSITIVE_INFINITY }

function* eventsOf(
  { phases }: Load,
  { fromMs, toMs }: Within,
): Generator<{ readonly index: number; readonly atMs: number }> {
  for (const [index, atMs] of intendedTimes(phases).entries())
    if (atMs >= fromMs && atMs < toMs) yield { index, atMs }
}

/** The account of the events of one source that were to be sent within a time of a load. */
export function accountOfSource(load: Load, run: Fates, source: Source, within = WHOLE): LaneAccount {
  const its = [...eventsOf(load, within)].filter(
    ({ index, atMs }) => sourceOf(load.phases, index, atMs) === source,
  )
  return laneAccount(
    load,
    run,
    its.map(({ index }) => index),
  )
}

/** The account of the events of a load that were to be sent within a time of it. */
export function accountOf(load: Load, run: Fates, within: Within = WHOLE): Account {
  const chosen = [...eventsOf(load, within)].map(({ index }) => index)
  const ofLane = (high: boolean): readonly number[] =>
    chosen.filter((index) => isHigh(index, load.highShare) === high)
  return {
    all: laneAccount(load, run, chosen),
    high: laneAccount(load, run, ofLane(true)),
    normal: laneAccount(load, run, ofLane(false)),
  }
}

function laneAccount(
  { deadlineMs }: Load,
  { fates, latencyMs }: Fates,
  chosen: readonly number[],
): LaneAccount {
  const count = (fate: number): number => chosen.filter((index) => fates[index] === fate).length
  const seen = chosen
    .filter((index) => fates[index] === FATE.prediction)
    .map((index) => latencyMs[index] ?? Number.NaN)
    .filter((latency) => !Number.isNaN(latency))
  return {
    offered: chosen.length,
    inTime: seen.filter((latency) => latency <= deadlineMs).length,
    predictions: count(FATE.prediction),
    deadLetters: count(FATE.deadLetter),
    refusals: count(FATE.refusal),
    // What nobody found an outcome of is in doubt: it may be predicted yet.
    inDoubt: count(FATE.inDoubt) + count(FATE.accepted),
    lost: count(FATE.lost),
    p50Ms: quantile(seen, 0.5),
    p99Ms: quantile(seen, 0.99),
  }
}

/** What a contestant with a register has stored of a run: to hold against what senders know. */
export interface Stored {
  readonly predictions: number
  readonly deadLetters: number
}

/**
 * Why an account does not close; `undefined` where it does. Sent = predictions + dead letters + refusals + in doubt, and
 * what is stored beyond what senders know of are events in doubt.
 */
export function notClosed({ all }: Account, stored?: Stored): string | undefined {
  const { offered, predictions, deadLetters, refusals, inDoubt, lost } = all
  const sum = predictions + deadLetters + refusals + inDoubt
  if (lost > 0 || sum !== offered) return `${offered} were sent, and ${sum} accounted for`
  if (stored === undefined) return undefined
  const beyond = stored.predictions + stored.deadLetters - predictions - deadLetters
  if (beyond < 0) return `senders know of ${-beyond} outcomes that are not stored`
  if (beyond > inDoubt)
    return `${beyond} outcomes are stored that nobody sent, ${inDoubt} events are in doubt`
  return undefined
}

/** One second of a run. */
export interface Second {
  readonly offered: number
  readonly inTime: number
  readonly p99Ms: number
}

/** A run second by second, by when events were to be sent. */
export function timelineOf(load: Load, run: Fates): readonly Second[] {
  const seconds = Math.ceil(load.phases.reduce((sum, phase) => sum + phase.seconds, 0))
  return Array.from({ length: seconds }, (_second, at) => {
    const { offered, inTime, p99Ms } = accountOf(load, run, {
      fromMs: 1_000 * at,
      toMs: 1_000 * (at + 1),
    }).all
    return { offered, inTime, p99Ms }
  })
}

/** Seconds after `fromSecond` from which on every second was carried. @returns `undefined` where the last was not */
export function recoveredAfter(timeline: readonly Second[], fromSecond: number): number | undefined {
  let after: number | undefined
  for (let at = timeline.length - 1; at >= fromSecond; at--) {
    const { offered, inTime } = timeline[at] as Second
    if (inTime < 0.99 * offered) break
    after = at - fromSecond
  }
  return after
}
