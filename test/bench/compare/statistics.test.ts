import { describe, expect, it } from 'vitest'
import { FEWEST_PAIRS, medianInterval, spreadOf } from './statistics.ts'

const oneTo = (count: number): number[] => Array.from({ length: count }, (_value, index) => index + 1)

describe('medianInterval', () => {
  // Order statistics and coverage as in tables of the sign test, which state them for each number of values.
  it.each([
    [6, 1, 6, 0.96875],
    [8, 1, 8, 0.9921875],
    [9, 2, 8, 0.9609375],
    [12, 3, 10, 0.96142578125],
    [20, 6, 15, 0.95861053],
  ])('of %i values goes from the one in place %i to that in place %i', (count, low, high, coverage) => {
    const interval = medianInterval(oneTo(count).reverse())
    expect(interval).toMatchObject({ low, high })
    expect(interval.coverage).toBeCloseTo(coverage, 7)
  })

  it('of few values is their whole range, and says how little that is worth', () => {
    expect(medianInterval([3, 1, 2])).toEqual({ low: 1, high: 3, coverage: 0.75 })
    expect(medianInterval([1])).toEqual({ low: 1, high: 1, coverage: 0 })
  })

  it('needs FEWEST_PAIRS values to reach 95 of 100', () => {
    expect(medianInterval(oneTo(FEWEST_PAIRS)).coverage).toBeGreaterThanOrEqual(0.95)
    expect(medianInterval(oneTo(FEWEST_PAIRS - 1)).coverage).toBeLessThan(0.95)
  })

  it('does not move when an outlier moves further', () => {
    expect(medianInterval([...oneTo(11), 12])).toEqual(medianInterval([...oneTo(11), 12_000]))
  })
})

describe('spreadOf', () => {
  it('takes the middle of an even number between two', () => {
    expect(spreadOf([10, 1, 2, 3])).toEqual({ min: 1, median: 2.5, max: 10 })
  })

  it('has nothing to say of nothing', () => {
    expect(spreadOf([])).toBeUndefined()
  })
})
