import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { costOf, fitCost, fitLine, kneeOf } from './batch-cost.ts'

const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]
const linear = (fixedMs: number, perRowMs: number) =>
  sizes.map((rows) => ({ rows, ms: fixedMs + perRowMs * rows }))

describe('fitCost', () => {
  it('finds the line that timings lie on', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 50, noNaN: true }),
        fc.double({ min: 0.001, max: 5, noNaN: true }),
        (a, c) => {
          const fit = fitCost(linear(a, c))
          expect(fit.fixedMs).toBeCloseTo(a, 5)
          expect(fit.perRowMs).toBeCloseTo(c, 5)
        },
      ),
    )
  })

  it('puts the knee at the last size that makes a row a tenth cheaper', () => {
    // Per row: 2, 1.5, 1.25, 1.125 and then 1.0625, which is less than a tenth below.
    expect(fitCost(linear(1, 1)).kneeRows).toBe(8)
    expect(fitCost(linear(100, 0.001)).kneeRows).toBe(256)
    expect(fitCost(linear(0, 1)).kneeRows).toBe(1)
  })

  it('does not go past a size where a row gets dearer', () => {
    const timings = [
      { rows: 1, ms: 1 },
      { rows: 2, ms: 1.2 },
      { rows: 4, ms: 4 },
      { rows: 8, ms: 2 },
    ]
    expect(fitCost(timings).kneeRows).toBe(2)
  })

  it('takes a single timing as a fixed cost', () => {
    expect(fitCost([{ rows: 1, ms: 3 }])).toEqual({ fixedMs: 3, perRowMs: 0, kneeRows: 1 })
  })
})

describe('kneeOf', () => {
  const positive = fc.double({ min: 0.01, max: 50, noNaN: true })

  it('is where twice as many rows stop to make a row a tenth cheaper', () => {
    fc.assert(
      fc.property(positive, positive, (fixedMs, perRowMs) => {
        const rowMs = (rows: number): number => costOf({ fixedMs, perRowMs }, rows) / rows
        const gainAt = (rows: number): number => 1 - rowMs(2 * rows) / rowMs(rows)
        const knee = kneeOf({ fixedMs, perRowMs })
        expect(gainAt(knee + 1)).toBeLessThan(0.1)
        if (knee > 1) expect(gainAt(knee - 1)).toBeGreaterThan(0.1)
      }),
    )
  })

  it('is one row where nothing is fixed, and nowhere where everything is', () => {
    expect(kneeOf({ fixedMs: 0, perRowMs: 2 })).toBe(1)
    expect(kneeOf({ fixedMs: 2, perRowMs: 0 })).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('fitLine', () => {
  it('is hardly moved by one timing of a larger size that is far off', () => {
    const positive = { noNaN: true, min: 0.01, max: 10 }
    fc.assert(
      fc.property(
        fc.double(positive),
        fc.double(positive),
        fc.integer({ min: 2, max: sizes.length - 1 }),
        fc.double({ min: 2, max: 50, noNaN: true }),
        (fixedMs, perRowMs, at, times) => {
          const timings = linear(fixedMs, perRowMs).map((timing, index) =>
            index === at ? { ...timing, ms: times * timing.ms } : timing,
          )
          const line = fitLine(timings)
          for (const { rows, ms } of linear(fixedMs, perRowMs))
            expect(Math.abs(costOf(line, rows) - ms)).toBeLessThan(0.5 * ms)
        },
      ),
    )
  })
})
