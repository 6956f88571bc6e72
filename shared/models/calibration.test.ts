import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { calibrate, isPastKnee, type SizeTiming, sizesUpTo } from './calibration.ts'

/** Timings of a model that takes so long for each size. */
function timings(handOverMs: number, ms: (rows: number) => number, most = 256): SizeTiming[] {
  return sizesUpTo(most).map((rows) => ({ rows, ms: ms(rows), handOverMs }))
}

describe('calibrate', () => {
  it('ends a batch where a row gets no cheaper: a model that costs by the row has batches of one', () => {
    expect(
      calibrate(
        timings(0.05, (rows) => 10 * rows),
        64,
      ).batchRows,
    ).toBe(1)
    expect(
      calibrate(
        timings(0.05, (rows) => (rows <= 16 ? 1 + 0.01 * rows : rows)),
        64,
      ).batchRows,
    ).toBe(16)
  })

  it('counts what handing a run over costs: a small model has batches as large as its manifest allows', () => {
    const small = (rows: number): number => 0.01 + 0.003 * rows
    expect(calibrate(timings(0.1, small, 64), 64).batchRows).toBe(64)
    expect(calibrate(timings(0, small), 256).batchRows).toBe(16)
  })

  it('takes a size that seems dearer than a larger one for disturbed', () => {
    const disturbed = (rows: number): number => (rows === 2 ? 50 : 0.1 + 0.001 * rows)
    const found = calibrate(timings(0.1, disturbed, 64), 64)
    expect(found.batchRows).toBe(64)
    expect(found.timings[1]?.ms).toBeCloseTo(0.104)
  })

  it('never exceeds the manifest, nor goes below one row', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1e-3, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 9 }),
        fc.double({ min: 0, max: 10, noNaN: true }),
        fc.integer({ min: 1, max: 300 }),
        (costs, handOverMs, maxRows) => {
          const measured = costs.map((ms, at) => ({ rows: 2 ** at, ms, handOverMs }))
          const { batchRows, fixedMs, perRowMs } = calibrate(measured, maxRows)
          expect(batchRows).toBeGreaterThanOrEqual(1)
          expect(batchRows).toBeLessThanOrEqual(maxRows)
          expect(Math.min(fixedMs, perRowMs)).toBeGreaterThanOrEqual(0)
        },
      ),
    )
  })

  it('allows what the manifest does where the largest size measured is worth it', () => {
    expect(
      calibrate(
        timings(1, () => 1, 64),
        100,
      ).batchRows,
    ).toBe(100)
  })
})

describe('isPastKnee', () => {
  it('is so once two sizes made a row no cheaper', () => {
    const flat = timings(0, (rows) => rows, 8)
    expect([1, 2, 3].map((count) => isPastKnee(flat.slice(0, count)))).toEqual([false, false, true])
    expect(isPastKnee(timings(0, () => 1))).toBe(false)
  })
})
