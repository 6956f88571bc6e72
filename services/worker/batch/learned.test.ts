import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Calibration } from '../../../shared/models/calibration.ts'
import { ArrivalRate, learnedLinger } from './learned.ts'

const LINGER_MS = 2
const costly: Calibration = { fixedMs: 100, perRowMs: 0.1, handOverMs: 0.1, batchRows: 64, timings: [] }
const cheap: Calibration = { fixedMs: 0.01, perRowMs: 0.003, handOverMs: 0.1, batchRows: 64, timings: [] }
const few = { rows: 1, maxRows: 64, rowsPerMs: 1, isThreadFree: true, isBehind: false }

describe('learnedLinger', () => {
  it('waits for nobody while a thread has nothing to do and too few come', () => {
    expect(learnedLinger(costly, { ...few, rowsPerMs: 1 }, LINGER_MS)).toBe(0)
  })

  it('waits where enough come in time and a row gets cheaper by more than the wait', () => {
    expect(learnedLinger(costly, { ...few, rowsPerMs: 100 }, LINGER_MS)).toBe(LINGER_MS)
    expect(learnedLinger(cheap, { ...few, rowsPerMs: 40 }, LINGER_MS)).toBe(0)
  })

  it('waits no longer than a full batch runs while no thread is free', () => {
    const cost = { ...cheap, perRowMs: 0.01 }
    expect(learnedLinger(cost, { ...few, isThreadFree: false }, LINGER_MS)).toBeCloseTo(0.65)
    expect(learnedLinger(costly, { ...few, isThreadFree: false }, LINGER_MS)).toBe(LINGER_MS)
  })

  it('fills batches while a backlog waits', () => {
    expect(learnedLinger(cheap, { ...few, isBehind: true }, LINGER_MS)).toBe(LINGER_MS)
  })

  it('never waits longer than the setting says', () => {
    const waiting = fc.record({
      rows: fc.integer({ min: 1, max: 64 }),
      maxRows: fc.integer({ min: 1, max: 64 }),
      rowsPerMs: fc.double({ min: 0, max: 1e3, noNaN: true }),
      isThreadFree: fc.boolean(),
      isBehind: fc.boolean(),
    })
    fc.assert(
      fc.property(waiting, fc.constantFrom(cheap, costly), fc.nat(1_000), (one, cost, lingerMs) => {
        const ms = learnedLinger(cost, one, lingerMs)
        expect(ms).toBeGreaterThanOrEqual(0)
        expect(ms).toBeLessThanOrEqual(lingerMs)
      }),
    )
  })
})

describe('ArrivalRate', () => {
  it('comes close to how fast rows come, and forgets a rush', () => {
    const rate = new ArrivalRate()
    let rowsPerMs = 0
    for (let ms = 0; ms < 500; ms++) rowsPerMs = rate.came(4, ms)
    expect(rowsPerMs).toBeGreaterThan(3.9)
    expect(rowsPerMs).toBeLessThan(4.2)
    expect(rate.came(1, 1_000)).toBeLessThan(0.1)
  })
})
