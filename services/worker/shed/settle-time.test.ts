import fc from 'fast-check'
import { expect, it } from 'vitest'
import { SettleTime } from './settle-time.ts'

function after(samples: readonly number[]): number {
  const time = new SettleTime()
  for (const ms of samples) time.took(ms)
  return time.ms
}

it('is the mean and four mean deviations of how long storing took lately', () => {
  expect(after([])).toBe(0)
  expect(after([10])).toBe(30)
  expect(after(Array(100).fill(10))).toBeCloseTo(10)
  expect(after([...Array(100).fill(10), 50])).toBeCloseTo(55) // mean 15, deviation 10
  expect(after([...Array(100).fill(10), 50, ...Array(60).fill(10)])).toBeCloseTo(10, 0)
})

it('is never below what storing takes where that stays as it is', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1_000, noNaN: true }),
      fc.integer({ min: 1, max: 100 }),
      (ms, count) => {
        expect(after(Array(count).fill(ms))).toBeGreaterThanOrEqual(ms * 0.999)
      },
    ),
  )
})
