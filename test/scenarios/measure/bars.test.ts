import { expect, test } from 'vitest'
import { steady } from '../load/schedule.ts'
import { accountOf, FATE, timelineOf } from './account.ts'
import { barsBesideBackfill, barsBesideFailing, barsBesideHot, barsOf, isMet } from './bars.ts'

const load = { phases: [steady('overload', 10, 2)], highShare: 0.5, deadlineMs: 250 }
const LATE = 300

/** Twenty events in two seconds, every other one important; the first `inTime` of each second are predicted in time, the next one late. */
function overloadWith(inTime: number, recoveredAfterSeconds?: number) {
  const fates = Uint8Array.from({ length: 20 }, (_, index) =>
    index % 10 <= inTime ? FATE.prediction : FATE.refusal,
  )
  const latencyMs = Float64Array.from({ length: 20 }, (_, index) => (index % 10 < inTime ? 10 : LATE))
  const run = { fates, latencyMs }
  return {
    ...{ account: accountOf(load, run), timeline: timelineOf(load, run), recoveredAfterSeconds },
    ...{ fromSecond: 0, toSecond: 2, capacity: 5 },
  }
}

test('goodput is held against what could have been carried, lateness against what was offered', () => {
  const bars = barsOf(overloadWith(4, 1))
  expect(bars.map(({ name, value }) => [name, value])).toEqual([
    ['goodput', 0.8],
    ['high', 0.4],
    ['late', 0.1],
    ['recovery', 1],
  ])
  expect(bars.map(isMet)).toEqual([false, false, false, true])
})

test('what was never carried again has not recovered', () => {
  const recovery = barsOf(overloadWith(4)).find(({ name }) => name === 'recovery')
  expect(recovery && isMet(recovery)).toBe(false)
})

test('beside a hot source the other is refused nothing, and waits twice as long at most; what is urgent to the hot one is not promised', () => {
  const overload = overloadWith(4, 1)
  const { all } = overload.account
  const other = { alone: { ...all, p99Ms: 10 }, beside: { ...all, refusals: 0, p99Ms: 20 } }
  const ofOther = (refusals: number, p99Ms: number) =>
    barsBesideHot(overload, { ...other, beside: { ...all, refusals, p99Ms } }).slice(-2)
  expect(barsBesideHot(overload, other).map(({ name }) => name)).toEqual([
    ...['goodput', 'late', 'recovery', 'refused', 'p99'],
  ])
  expect(ofOther(0, 20).map(isMet)).toEqual([true, true])
  expect(ofOther(1, 21).map(({ value }) => value)).toEqual([1 / all.offered, 2.1])
  expect(ofOther(1, 21).map(isMet)).toEqual([false, false])
})

test('beside a model that fails the other is refused nothing, and waits three times as long at most', () => {
  const { all } = overloadWith(4).account
  const of = (refusals: number, p99Ms: number) =>
    barsBesideFailing({ alone: { ...all, p99Ms: 10 }, beside: { ...all, refusals, p99Ms } })
  expect(of(0, 30).map(isMet)).toEqual([true, true])
  expect(of(1, 31).map(isMet)).toEqual([false, false])
})

test('each event without a deadline is predicted; of the overload all is promised but the part that lanes share', () => {
  const backfill = { events: 10, replayed: 2, deadLetters: 0, seconds: 1 }
  const bars = (predictions: number) => barsBesideBackfill(overloadWith(4, 1), { ...backfill, predictions })
  expect(bars(12).map(({ name }) => name)).toEqual(['high', 'late', 'recovery', 'unpredicted'])
  expect([12, 11].map((predictions) => bars(predictions).slice(-1).map(isMet))).toEqual([[true], [false]])
})
