import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { median } from '../../../shared/models/batch-cost.ts'
import { RecentCost } from '../../../shared/models/recent-cost.ts'
import {
  ArrivalRate,
  costByRuns,
  type KnownCost,
  learnedLinger,
  learnedRows,
  rowsInBudget,
} from './learned.ts'

const LINGER_MS = 2
const costly: KnownCost = { fixedMs: 100, perRowMs: 0.1, handOverMs: 0.1, batchRows: 64 }
const cheap: KnownCost = { fixedMs: 0.01, perRowMs: 0.003, handOverMs: 0.1, batchRows: 64 }
const few = { rows: 1, maxRows: 64, rowsPerMs: 1, isThreadFree: true, isBehind: false, loopShare: 0 }

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

  it('waits the longer the busier the main thread is', () => {
    const at = (loopShare: number): number => learnedLinger(cheap, { ...few, loopShare }, LINGER_MS)
    expect([0, 0.5, 0.7, 0.9, 1].map(at)).toEqual([0, 0, expect.closeTo(LINGER_MS / 2), LINGER_MS, LINGER_MS])
  })

  it('never waits longer than the setting says', () => {
    const waiting = fc.record({
      rows: fc.integer({ min: 1, max: 64 }),
      maxRows: fc.integer({ min: 1, max: 64 }),
      rowsPerMs: fc.double({ min: 0, max: 1e3, noNaN: true }),
      isThreadFree: fc.boolean(),
      isBehind: fc.boolean(),
      loopShare: fc.double({ min: 0, max: 1, noNaN: true }),
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

describe('learnedRows', () => {
  it.each([
    ['a row that is dear', { fixedMs: 0, perRowMs: 10 }, 2],
    ['one that makes others wait by itself', { fixedMs: 1, perRowMs: 200 }, 1],
    ['one that is cheap', { fixedMs: 1, perRowMs: 0.01 }, 64],
    ['a run that is dear whatever its rows', { fixedMs: 100, perRowMs: 10 }, 64],
    ['nothing but that', { fixedMs: 1, perRowMs: 0 }, 64],
  ])('lets nobody wait long for a batch: %s', (_what, line, rows) =>
    expect(learnedRows({ ...line, handOverMs: 0, batchRows: 1_000 }, 64)).toBe(rows),
  )

  it('has no more than make a row cheaper', () => expect(learnedRows({ ...cheap, batchRows: 8 }, 64)).toBe(8))

  it('goes by the last runs where nothing was measured', () => {
    expect(learnedRows(costByRuns(undefined), 64)).toBe(8)
    expect(learnedRows(costByRuns(undefined), 4)).toBe(4)
    expect(learnedRows(costByRuns({ fixedMs: 10, perRowMs: 10 }), 64)).toBe(1)
    expect(learnedRows(costByRuns({ fixedMs: 0, perRowMs: 0.001 }), 64)).toBe(64)
  })

  it('where nothing was measured, has no more than make a row a tenth cheaper, what is beside the runtime supposed', () => {
    const rows = (fixedMs: number, perRowMs: number): number =>
      learnedRows(costByRuns({ fixedMs, perRowMs }), 64)
    expect(rows(0, 2)).toBe(2)
    expect(rows(1, 2)).toBe(4)
    expect(rows(0, 0.5)).toBe(8)
    expect(rows(5, 0.1)).toBe(64)
  })

  it.each([
    ['batches help nobody', 2, (rows: number) => 2 * rows, 2],
    ['a batch costs what a row does', 1, (rows: number) => 10 + 0.1 * rows, 64],
    ['a row takes as long as a batch may', 1, (rows: number) => 30 + 0.05 * rows, 64],
    ['only single rows have come yet', 64, (rows: number) => 5 + 0.05 * rows, 64],
  ])('finds out by trying, where %s', (_what, first, msOf, rows) => {
    const recent = new RecentCost()
    for (let run = 0; run < 40; run++) recent.ran(first, msOf(first))
    const ran: number[] = []
    for (let run = 0; run < 200; run++) {
      const next = learnedRows(costByRuns(recent.line), 64)
      ran.push(next)
      recent.ran(next, msOf(next))
    }
    expect(median(ran)).toBe(rows)
    expect(Math.max(...ran)).toBeLessThanOrEqual(Math.max(2 * first, 2 * rows))
  })
})

describe('a batch within what a deadline leaves', () => {
  const line = { fixedMs: 2, perRowMs: 1, handOverMs: 1, batchRows: 64 }

  it.each([
    ['all rows that can be run by then', line, 23, 20],
    ['one at least', line, 6, 3],
    ['no bound where the fixed part takes most of it', line, 5.9, Number.POSITIVE_INFINITY],
    ['one where one is just in time', { ...line, fixedMs: 0, handOverMs: 0 }, 1, 1],
    ['no bound where not even one is', { ...line, fixedMs: 0, handOverMs: 0 }, 0.9, Number.POSITIVE_INFINITY],
    ['no bound once it has passed', line, -1, Number.POSITIVE_INFINITY],
    ['no bound where rows cost nothing', { ...line, perRowMs: 0 }, 100, Number.POSITIVE_INFINITY],
  ])('has %s', (_what, known, leftMs, rows) => expect(rowsInBudget(known, leftMs)).toBe(rows))

  it('never ends later than the deadline, where it is bound', () => {
    const ms = fc.double({ min: 0, max: 100, noNaN: true })
    fc.assert(
      fc.property(
        ms,
        ms,
        ms,
        fc.double({ min: -10, max: 500, noNaN: true }),
        (fixedMs, perRowMs, handOverMs, left) => {
          const rows = rowsInBudget({ fixedMs, perRowMs, handOverMs, batchRows: 64 }, left)
          expect(rows).toBeGreaterThanOrEqual(1)
          if (rows < Number.POSITIVE_INFINITY)
            expect(fixedMs + handOverMs + perRowMs * rows).toBeLessThanOrEqual(left + 1e-6)
        },
      ),
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
