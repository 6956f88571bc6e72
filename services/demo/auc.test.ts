import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { areaUnderCurve } from './auc.ts'

/** Scores from a small set, so that ties are common, with at least one label of each class. */
const rows = fc
  .array(fc.record({ score: fc.integer({ min: -5, max: 5 }), label: fc.boolean() }), {
    minLength: 2,
    maxLength: 60,
  })
  .filter((items) => items.some(({ label }) => label) && items.some(({ label }) => !label))

function split(items: readonly { score: number; label: boolean }[]) {
  return { scores: items.map(({ score }) => score), labels: items.map(({ label }) => label) }
}

/** The definition: every positive against every negative. */
function byPairs(scores: readonly number[], labels: readonly boolean[]): number {
  const positives = scores.filter((_score, index) => labels[index])
  const negatives = scores.filter((_score, index) => !labels[index])
  let wins = 0
  for (const positive of positives) {
    for (const negative of negatives) wins += positive > negative ? 1 : positive === negative ? 0.5 : 0
  }
  return wins / (positives.length * negatives.length)
}

describe('areaUnderCurve', () => {
  it('is one for a perfect order, zero for the reverse and a half for equal scores', () => {
    const labels = [false, false, true, true]
    expect(areaUnderCurve([1, 2, 3, 4], labels)).toBe(1)
    expect(areaUnderCurve([4, 3, 2, 1], labels)).toBe(0)
    expect(areaUnderCurve([7, 7, 7, 7], labels)).toBe(0.5)
    expect(areaUnderCurve([0.1, 0.4, 0.35, 0.8], labels)).toBe(0.75)
  })

  it('equals the share of pairs in the right order, a tie counting half', () => {
    fc.assert(
      fc.property(rows, (items) => {
        const { scores, labels } = split(items)
        expect(areaUnderCurve(scores, labels)).toBeCloseTo(byPairs(scores, labels), 12)
      }),
    )
  })

  it('does not change under a rising transform', () => {
    fc.assert(
      fc.property(rows, (items) => {
        const { scores, labels } = split(items)
        const risen = scores.map((score) => Math.exp(score) + 3)
        expect(areaUnderCurve(risen, labels)).toBe(areaUnderCurve(scores, labels))
      }),
    )
  })

  it('turns into its complement when scores or labels are reversed', () => {
    fc.assert(
      fc.property(rows, (items) => {
        const { scores, labels } = split(items)
        const area = areaUnderCurve(scores, labels)
        const negated = scores.map((score) => -score)
        const swapped = labels.map((label) => !label)
        expect(areaUnderCurve(negated, labels)).toBeCloseTo(1 - area, 12)
        expect(areaUnderCurve(scores, swapped)).toBeCloseTo(1 - area, 12)
      }),
    )
  })

  it('ranks infinite scores at the ends', () => {
    expect(areaUnderCurve([-Infinity, Infinity, 0, Infinity], [false, true, false, true])).toBe(1)
  })

  it('refuses what has no curve', () => {
    expect(() => areaUnderCurve([1, 2], [true])).toThrow(/2 scores for 1 labels/)
    expect(() => areaUnderCurve([1, Number.NaN], [true, false])).toThrow(/scores\[1\]/)
    expect(() => areaUnderCurve([1, 2], [true, true])).toThrow(/one class only/)
    expect(() => areaUnderCurve([], [])).toThrow(/one class only/)
  })
})
