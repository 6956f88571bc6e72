import { expect, test } from 'vitest'
import { longestGapMs, recoveredMs, standstillMs } from './timeline.ts'

const answered = (acceptedAt: number, storedAt: number) => ({ acceptedAt, storedAt })

test('a gap is time without an answer while something waited', () => {
  expect(longestGapMs([])).toBe(0)
  expect(longestGapMs([answered(0, 10), answered(1, 500), answered(2, 510)])).toBe(490)
})

test('time in which nothing waited is no gap', () => {
  expect(longestGapMs([answered(0, 10), answered(5_000, 5_030)])).toBe(30)
})

test('answers out of order do not hide a gap', () => {
  expect(longestGapMs([answered(0, 900), answered(100, 110), answered(120, 130)])).toBe(770)
})

test('recovery ends with the last answer to what was accepted before the fault ended', () => {
  const answers = [answered(0, 100), answered(50, 1_700), answered(1_100, 9_000)]
  expect(recoveredMs(answers, 1_000)).toBe(700)
  expect(recoveredMs([answered(0, 100)], 1_000)).toBe(0)
})

test('a standstill begins with the last answer before, and counts whether or not something waited', () => {
  const answers = [100, 900, 1_000, 4_000, 4_100, 9_000].map((at) => answered(at - 1, at))
  expect(standstillMs(answers, 1_500, 5_000)).toBe(3_000)
  expect(standstillMs(answers, 4_050, 4_500)).toBe(100)
  expect(standstillMs([], 0, 1_000)).toBe(0)
})
