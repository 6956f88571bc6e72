import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CREDIT, nextCredit } from './breakwater.ts'

const credits = fc.double({ min: CREDIT.least, max: CREDIT.most, noNaN: true })
const times = fc.double({ min: 0, max: 1e6, noNaN: true })
const targets = fc.double({ min: 1, max: 1e5, noNaN: true })

describe('nextCredit', () => {
  it('stays within its bounds whatever the wait', () => {
    fc.assert(
      fc.property(credits, times, targets, (credit, waitMs, targetMs) => {
        const next = nextCredit(credit, { waitMs, targetMs })
        expect(next).toBeGreaterThanOrEqual(CREDIT.least)
        expect(next).toBeLessThanOrEqual(CREDIT.most)
      }),
    )
  })

  it('is never more where more waits, and never less where there was more of it', () => {
    fc.assert(
      fc.property(credits, credits, times, times, targets, (one, other, some, more, targetMs) => {
        const least = nextCredit(Math.min(one, other), { waitMs: Math.max(some, more), targetMs })
        const most = nextCredit(Math.max(one, other), { waitMs: Math.min(some, more), targetMs })
        expect(least).toBeLessThanOrEqual(most)
      }),
    )
  })

  it('grows by the same below the target, and shrinks with the excess above it', () => {
    expect(nextCredit(0.5, { waitMs: 99, targetMs: 100 })).toBeCloseTo(0.52)
    expect(nextCredit(0.5, { waitMs: 0, targetMs: 100 })).toBeCloseTo(0.52)
    expect(nextCredit(0.5, { waitMs: 100, targetMs: 100 })).toBeCloseTo(0.5)
    expect(nextCredit(0.5, { waitMs: 150, targetMs: 100 })).toBeCloseTo(0.45)
  })

  it('is halved at most', () => {
    expect(nextCredit(1, { waitMs: 1e6, targetMs: 100 })).toBe(0.5)
  })

  it('of several doors ends alike, wherever each of them began', () => {
    fc.assert(
      fc.property(credits, credits, fc.infiniteStream(fc.boolean()), (one, other, words) => {
        let [a, b] = [one, other]
        for (let word = 0; word < 500; word++) {
          const wait = { waitMs: words.next().value === true ? 50 : 300, targetMs: 100 }
          ;[a, b] = [nextCredit(a, wait), nextCredit(b, wait)]
        }
        expect(Math.abs(a - b)).toBeLessThan(0.01)
      }),
      { numRuns: 20 },
    )
  })
})
