import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MissFacts, predictMiss } from './predict-miss.ts'

/** 2 ms a row whatever the batch, as the scenarios have it. */
const cost = { fixedMs: 0, perRowMs: 2, handOverMs: 0 }
const facts: MissFacts = {
  aheadRows: 100,
  runRows: 1,
  batchRows: 8,
  cost,
  threads: 1,
  settleMs: 0,
  leftMs: 250,
}

const amount = fc.integer({ min: 0, max: 10_000 })
const some = fc.integer({ min: 1, max: 64 })
const anyFacts: fc.Arbitrary<MissFacts> = fc.record({
  aheadRows: amount,
  runRows: some,
  batchRows: some,
  cost: fc.record({
    fixedMs: fc.double({ min: 0, max: 100, noNaN: true }),
    perRowMs: fc.double({ min: 0, max: 1_000, noNaN: true }),
    handOverMs: fc.double({ min: 0, max: 10, noNaN: true }),
  }),
  threads: some,
  settleMs: fc.integer({ min: 0, max: 100 }),
  leftMs: fc.integer({ min: -1_000, max: 10_000 }),
})

describe('predictMiss', () => {
  it('adds what is ahead over the threads to the run, and holds that against 95 % of what is left', () => {
    expect(predictMiss(facts)).toBeUndefined() // 202 of 237.5 ms
    expect(predictMiss({ ...facts, aheadRows: 117 })).toBeUndefined() // 236
    expect(predictMiss({ ...facts, aheadRows: 118 })).toEqual({ waitMs: 236, runMs: 2, leftMs: 250 }) // 238
    expect(predictMiss({ ...facts, aheadRows: 118, threads: 2 })).toBeUndefined()
    expect(predictMiss({ ...facts, runRows: 30 })).toMatchObject({ waitMs: 200, runMs: 60 })
    expect(predictMiss({ ...facts, settleMs: 35 })).toBeUndefined() // 237
    expect(predictMiss({ ...facts, settleMs: 36 })).toMatchObject({ waitMs: 200 })
  })

  it('takes what is ahead for full batches: a fixed part is paid once a batch', () => {
    const fixed = { ...facts, cost: { fixedMs: 8, perRowMs: 1, handOverMs: 1 } }
    expect(predictMiss({ ...fixed, aheadRows: 80, batchRows: 8 })).toBeUndefined() // 10 batches of 17 ms, and 10
    expect(predictMiss({ ...fixed, aheadRows: 80, batchRows: 4 })).toMatchObject({ waitMs: 260, runMs: 10 })
  })

  it('gives up nothing with nothing ahead, whatever it is thought to cost', () => {
    fc.assert(fc.property(anyFacts, (given) => predictMiss({ ...given, aheadRows: 0 }) === undefined))
  })

  it('gives up nothing of which the cost is not known', () => {
    const unknown = { fixedMs: 0, perRowMs: 0, handOverMs: 0 }
    fc.assert(fc.property(anyFacts, (given) => predictMiss({ ...given, cost: unknown }) === undefined))
  })

  it('gives up what would be late for sure, and no more the less is ahead or the more is left', () => {
    fc.assert(
      fc.property(anyFacts, amount, amount, (given, fewer, more) => {
        const miss = predictMiss(given)
        if (miss !== undefined) {
          expect(miss.waitMs + miss.runMs + given.settleMs).toBeGreaterThan(0.95 * Math.max(0, given.leftMs))
          return
        }
        const aheadRows = Math.max(0, given.aheadRows - fewer)
        expect(predictMiss({ ...given, aheadRows, leftMs: given.leftMs + more })).toBeUndefined()
        expect(predictMiss({ ...given, threads: given.threads + 1 })).toBeUndefined()
      }),
    )
  })
})
