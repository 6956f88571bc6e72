import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxMinShare } from './shares.ts'

const demands = fc.array(fc.integer({ min: 0, max: 1_000 }), { maxLength: 20 })
const capacities = fc.integer({ min: 0, max: 5_000 })

/** The level up to which all are filled: searched for, halving what is left. */
function level(wanted: readonly number[], capacity: number): number {
  let [least, most] = [0, 1_000]
  for (let step = 0; step < 60; step++) {
    const middle = (least + most) / 2
    if (sum(taken(wanted, middle)) > capacity) most = middle
    else least = middle
  }
  return least
}

const taken = (wanted: readonly number[], share: number): number[] =>
  wanted.map((each) => Math.min(each, share))
const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0)

describe('maxMinShare', () => {
  it('never gives more than there is, and all of it where more is asked for', () => {
    fc.assert(
      fc.property(demands, capacities, (wanted, capacity) => {
        const given = sum(taken(wanted, maxMinShare(wanted, capacity)))
        expect(given).toBeCloseTo(Math.min(sum(wanted), capacity), 6)
      }),
    )
  })

  it('fills all to the same level', () => {
    fc.assert(
      fc.property(demands, capacities, (wanted, capacity) => {
        const given = taken(wanted, maxMinShare(wanted, capacity))
        for (const [at, amount] of taken(wanted, level(wanted, capacity)).entries())
          expect(given[at]).toBeCloseTo(amount, 6)
      }),
    )
  })

  it('has no bound where all demands are met, the last of them just so', () => {
    expect(maxMinShare([1, 2, 3], 6)).toBe(Number.POSITIVE_INFINITY)
    expect(maxMinShare([], 0)).toBe(Number.POSITIVE_INFINITY)
    expect(maxMinShare([1, 2, 3], 5)).toBe(2)
    expect(maxMinShare([9, 1], 4)).toBe(3)
  })
})
