import type { BackfillEnd } from '../contestants/backfill.ts'
import type { Account, LaneAccount, Second } from './account.ts'

/** What an overload is held against. */
export interface Overload {
  /** Of the time of the overload. */
  readonly account: Account
  readonly timeline: readonly Second[]
  /** Its seconds of the timeline. */
  readonly fromSecond: number
  readonly toSecond: number
  /** What is carried, events a second. */
  readonly capacity: number
  /** Seconds after it until all is carried again; undefined where it never was. */
  readonly recoveredAfterSeconds: number | undefined
}

/** What a source meets that sends the same all the time, before and while another one is hot. */
export interface OtherSource {
  readonly alone: LaneAccount
  readonly beside: LaneAccount
}

/** What is promised, in the order in which it is shown. */
export const BAR_NAMES = ['goodput', 'high', 'late', 'recovery', 'refused', 'p99', 'unpredicted'] as const

/** A promise about an overload, and what came of it. */
export interface Bar {
  readonly name: (typeof BAR_NAMES)[number]
  readonly value: number
  /** `least`: as much or more is wanted; `most`: as much or less. */
  readonly kind: 'least' | 'most'
  readonly bar: number
}

/** Predictions in time, of what could have been carried: no more than the capacity, and no more than was offered. */
const LEAST_GOODPUT = 0.95
/** Of the important events, how many are predicted in time. */
const LEAST_HIGH = 0.995
/** Of all events, how many run for nobody, because they end too late. */
const MOST_LATE = 0.02
/** Seconds until latency is normal again. */
const MOST_RECOVERY_S = 5

/** What a door promises at any load. */
export function barsOf(overload: Overload, leastGoodput = LEAST_GOODPUT): readonly Bar[] {
  const { account, recoveredAfterSeconds = Number.POSITIVE_INFINITY } = overload
  return [
    { name: 'goodput', value: goodputOf(overload), kind: 'least', bar: leastGoodput },
    { name: 'high', value: inTimeOf(account.high), kind: 'least', bar: LEAST_HIGH },
    { name: 'late', value: lateOf(account.all), kind: 'most', bar: MOST_LATE },
    { name: 'recovery', value: recoveredAfterSeconds, kind: 'most', bar: MOST_RECOVERY_S },
  ]
}

/** Of the other source's events, how many are refused beside a hot one, or one whose model fails. */
const MOST_REFUSED_BESIDE = 0
/** Its p99 beside the hot one, as a multiple of its p99 alone. */
const MOST_P99_BESIDE = 2

/** What a door promises while one source has most of a load: all but that what is urgent to the hot one is in time. */
export function barsBesideHot(overload: Overload, other: OtherSource): readonly Bar[] {
  return [...barsOf(overload).filter(({ name }) => name !== 'high'), ...barsOfOther(other, MOST_P99_BESIDE)]
}

function barsOfOther({ alone, beside }: OtherSource, mostP99: number): readonly Bar[] {
  return [
    { name: 'refused', value: beside.refusals / beside.offered, kind: 'most', bar: MOST_REFUSED_BESIDE },
    { name: 'p99', value: beside.p99Ms / alone.p99Ms, kind: 'most', bar: mostP99 },
  ]
}

/** What is promised of work without a deadline beside an overload, and of the overload: goodput it shares, by lanes. */
export function barsBesideBackfill(overload: Overload, backfill: BackfillEnd): readonly Bar[] {
  const { events, replayed, predictions } = backfill
  return [
    ...barsOf(overload).filter(({ name }) => name !== 'goodput'),
    { name: 'unpredicted', value: events + replayed - predictions, kind: 'most', bar: 0 },
  ]
}

/** The p99 of a healthy model beside one that fails on everything, as a multiple of its p99 alone. */
const MOST_P99_BESIDE_FAILING = 3

/** What is promised to a healthy model while another one of its pool fails on everything. */
export function barsBesideFailing(other: OtherSource): readonly Bar[] {
  return barsOfOther(other, MOST_P99_BESIDE_FAILING)
}

export function isMet({ value, kind, bar }: Bar): boolean {
  return kind === 'least' ? value >= bar : value <= bar
}

/** Second by second: what a calm second could not offer is not held against anybody. */
function goodputOf({ timeline, fromSecond, toSecond, capacity }: Overload): number {
  let [inTime, possible] = [0, 0]
  for (const second of timeline.slice(fromSecond, toSecond)) {
    inTime += second.inTime
    possible += Math.min(second.offered, capacity)
  }
  return possible === 0 ? Number.NaN : inTime / possible
}

function inTimeOf({ offered, inTime }: LaneAccount): number {
  return offered === 0 ? Number.NaN : inTime / offered
}

function lateOf({ offered, predictions, inTime }: LaneAccount): number {
  return offered === 0 ? Number.NaN : (predictions - inTime) / offered
}
