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

/** A promise about an overload, and what came of it. */
export interface Bar {
  readonly name: string
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
