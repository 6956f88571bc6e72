import { expect, test } from 'vitest'
import { longestGapMs, recoveredMs } from './timeline.ts'

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
