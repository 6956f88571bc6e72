import { median } from '../../scale/stage.ts'

export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** Where the true median lies, and how sure that is: of such intervals, the part `coverage` holds it. */
export interface Interval {
  readonly low: number
  readonly high: number
  readonly coverage: number
}

/** Below this many pairs not even the whole range holds the true median 95 times of 100. */
export const FEWEST_PAIRS = 6

const WANTED_COVERAGE = 0.95

/** @returns `undefined` of nothing */
export function spreadOf(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined
  return { min: Math.min(...values), median: median(values), max: Math.max(...values) }
}

/**
 * The narrowest pair of order statistics, as far from one end as from the other, that holds the true median with
 * probability 0.95 or more; the whole range where there are too few values. Assumes no distribution: each value lies on
 * either side of the true median with probability ½.
 */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = [...values].sort((a, b) => a - b)
  let cut = 0
  while (2 * (cut + 2) <= sorted.length && coverageOf(sorted.length, cut + 1) >= WANTED_COVERAGE) cut++
  return {
    low: sorted[cut] ?? Number.NaN,
    high: sorted[sorted.length - 1 - cut] ?? Number.NaN,
    coverage: coverageOf(sorted.length, cut),
  }
}

/** Probability that the true median lies between what is left of `count` values without `cut` at each end. */
function coverageOf(count: number, cut: number): number {
  let ways = 1
  let outside = 0
  for (let below = 0; below <= cut; below++) {
    outside += ways
    ways = (ways * (count - below)) / (below + 1)
  }
  return 1 - (2 * outside) / 2 ** count
}
