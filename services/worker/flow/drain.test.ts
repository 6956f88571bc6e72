import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { drainRows, fullBatchRows, type RanLately } from './drain.ts'

/** Two threads over a second, half of it busy: a model that runs 500 rows a busy second, alone. */
const RAN: RanLately = {
  ...{ rows: 500, busyMs: 1_000, allBusyMs: 1_000, threadMs: 2_000, threads: 2 },
  ...{ loopShare: 0, fullRows: 0 },
}

describe('drainRows', () => {
  it('is rows per busy second times threads, however little the load is', () => {
    expect(drainRows(RAN)).toBe(1_000)
    expect(drainRows({ ...RAN, rows: 5, busyMs: 10, allBusyMs: 10 })).toBe(1_000)
  })

  it('is what runs while no time is left', () => {
    const full = { ...RAN, rows: 1_000, busyMs: 2_000, allBusyMs: 2_000, fullRows: 9_999 }
    expect(drainRows(full)).toBe(1_000)
    // Runs that began before, seen whole.
    expect(drainRows({ ...full, rows: 5_000, busyMs: 10_000, allBusyMs: 10_000 })).toBe(1_000)
  })

  it('is the share that other models leave', () => {
    // Others have half of all time, and all of it is taken: what it ran is all it can.
    expect(drainRows({ ...RAN, allBusyMs: 2_000 })).toBe(500)
    // It runs seldom, and others have half of the time: the rest is its.
    expect(drainRows({ ...RAN, rows: 5, busyMs: 10, allBusyMs: 1_010 })).toBeCloseTo(500)
  })

  it('takes time that is left for full batches, where what those cost is known', () => {
    expect(drainRows({ ...RAN, fullRows: 5_000 })).toBe(500 + 5_000)
    expect(drainRows({ ...RAN, rows: 0, busyMs: 0, allBusyMs: 0, fullRows: 5_000 })).toBe(10_000)
  })

  it('leaves out time of the threads that the main thread has none for', () => {
    expect(drainRows({ ...RAN, loopShare: 1 })).toBe(500)
  })

  it('is 0 where nothing is known', () => {
    expect(drainRows({ ...RAN, threadMs: 0 })).toBe(0)
    expect(drainRows({ ...RAN, rows: 0, busyMs: 0 })).toBe(0)
  })

  it('is never more than all threads run in full batches', () => {
    const part = fc.double({ min: 0, max: 1, noNaN: true })
    const some = fc.integer({ min: 1, max: 10_000 })
    fc.assert(
      fc.property(some, some, some, some, part, part, (rows, busyMs, othersMs, threadMs, loopShare, more) => {
        const busyRows = (1_000 * rows) / busyMs
        const fullRows = busyRows * (1 + more)
        const ran = { rows, busyMs, allBusyMs: busyMs + othersMs, threadMs, threads: 3, loopShare, fullRows }
        expect(drainRows(ran)).toBeLessThanOrEqual(3 * fullRows * 1.000001)
      }),
    )
  })
})

describe('fullBatchRows', () => {
  const COST = { fixedMs: 1, perRowMs: 0.5, handOverMs: 0, batchRows: 8 }

  it('is what the largest batch that is worth it gives', () => {
    expect(fullBatchRows(COST, 64)).toBe(8_000 / 5)
    expect(fullBatchRows(COST, 4)).toBe(4_000 / 3)
  })

  it('is 0 where no cost is known', () => {
    expect(fullBatchRows({ ...COST, fixedMs: 0, perRowMs: 0 }, 64)).toBe(0)
  })
})
