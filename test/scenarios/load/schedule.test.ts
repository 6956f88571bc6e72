import { describe, expect, test } from 'vitest'
import { boundsOf, intendedTimes, isHigh, steady } from './schedule.ts'

describe('intended times', () => {
  test('a steady rate spaces events evenly', () => {
    expect([...intendedTimes([steady('load', 4, 1)])]).toEqual([0, 250, 500, 750])
  })

  test('a second phase goes on where the first ended', () => {
    expect([...intendedTimes([steady('low', 2, 1), steady('high', 4, 0.5)])]).toEqual([0, 500, 1_000, 1_250])
  })

  test('a ramp sends as many as the mean of its two rates, closer and closer', () => {
    const times = intendedTimes([{ name: 'ramp', fromPerSecond: 0, toPerSecond: 200, seconds: 2 }])
    expect(times).toHaveLength(200)
    const gaps = [...times].slice(2).map((time, at) => time - (times[at + 1] ?? 0))
    expect(gaps.every((gap, at) => at === 0 || gap < (gaps[at - 1] ?? 0))).toBe(true)
    expect(times[100]).toBeCloseTo(2_000 * Math.SQRT1_2, 6)
  })

  test('a ramp that ends at nothing has a time for each of its events', () => {
    const times = intendedTimes([{ name: 'fall', fromPerSecond: 100, toPerSecond: 0, seconds: 1 }])
    expect(times).toHaveLength(50)
    expect(times.every((time) => time >= 0 && time <= 1_000)).toBe(true)
  })

  test('a rest of one phase is not lost in the next', () => {
    expect(intendedTimes(Array.from({ length: 10 }, () => steady('step', 1.5, 1)))).toHaveLength(15)
  })

  test('nothing is due in a pause', () => {
    expect([...intendedTimes([steady('pause', 0, 1), steady('load', 2, 1)])]).toEqual([1_000, 1_500])
  })
})

test('a fifth of the events is important, spread evenly', () => {
  const high = Array.from({ length: 1_000 }, (_event, index) => isHigh(index, 0.2))
  expect(high.filter(Boolean)).toHaveLength(200)
  expect(high.slice(0, 10)).toEqual([false, false, false, false, true, false, false, false, false, true])
})

test('phases follow each other', () => {
  expect(boundsOf([steady('a', 1, 2), steady('b', 1, 3)])).toEqual([
    { name: 'a', fromMs: 0, toMs: 2_000 },
    { name: 'b', fromMs: 2_000, toMs: 5_000 },
  ])
})
