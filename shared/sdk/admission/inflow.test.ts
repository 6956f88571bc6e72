import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LANES, type Lane } from '../contract/subjects.ts'
import type { PoolFlow } from './heard-flow.ts'
import { Inflow } from './inflow.ts'

const EVERY_MS = 100
const DRAIN = 500

function poolOf(aheadRows: number): PoolFlow {
  const ofLanes = { high: 0, normal: aheadRows, low: aheadRows }
  const none = { high: 0, normal: 0, low: 0 }
  return {
    ...{
      drainRows: DRAIN,
      hasWorkers: true,
      rowsPerEvent: 1,
      aheadRows: ofLanes,
      handedRows: none,
      deadlineMs: none,
    },
    maxBacklogSeconds: none,
    ...{ heavy: new Set<string>(), hot: new Set<string>(), mode: 'enforce', gates: [], atMs: 0 },
  }
}

/** A door that lets in rows between words while so many wait at each. */
function letIn(rows: Partial<Record<Lane, number>>, waiting: (word: number) => number, words = 30): Inflow {
  const inflow = new Inflow()
  for (let word = 0; word < words; word++) {
    for (const lane of LANES) inflow.letIn(lane, rows[lane] ?? 0)
    inflow.heard(poolOf(waiting(word)), word * EVERY_MS)
  }
  return inflow
}

describe('Inflow', () => {
  it('of the only door is what it lets in', () => {
    const inflow = letIn({ normal: 50 }, () => 100)
    expect(inflow.share).toBeCloseTo(1)
    inflow.letIn('normal', 3)
    expect(inflow.sinceRows('normal')).toBeCloseTo(3)
    expect(inflow.sinceRows('high')).toBe(0)
  })

  it('of one of five doors alike is five times what it lets in', () => {
    const inflow = letIn({ normal: 10 }, () => 100)
    expect(inflow.share).toBeCloseTo(0.2, 1)
    inflow.letIn('normal', 3)
    expect(inflow.sinceRows('normal')).toBeCloseTo(15, 0)
  })

  it('sees what others let in by how what waits grows', () => {
    const inflow = letIn({ normal: 50 }, (word) => 100 + 50 * word)
    expect(inflow.share).toBeCloseTo(0.5, 1)
  })

  it('takes a door for the only one while workers have time', () => {
    expect(letIn({ normal: 1 }, () => 2).share).toBe(1)
  })

  it('of the lanes above `low` knows nothing of what is filled in there', () => {
    const inflow = new Inflow()
    for (let word = 0; word < 30; word++) {
      inflow.letIn('normal', 2)
      inflow.heard({ ...poolOf(1e6), aheadRows: { high: 0, normal: 2, low: 1e5 * word } }, word * EVERY_MS)
    }
    inflow.letIn('normal', 1)
    expect(inflow.sinceRows('normal')).toBeCloseTo(1)
    expect(inflow.sinceRows('low')).toBeGreaterThan(50)
  })

  it('forgets what came before a word of the workers', () => {
    const inflow = new Inflow()
    inflow.letIn('low', 9)
    inflow.heard(poolOf(9), 10)
    expect(inflow.sinceRows('low')).toBe(0)
  })

  it('has what this door let in apart', () => {
    const inflow = letIn({ normal: 10 }, () => 100)
    inflow.letIn('high', 1)
    inflow.letIn('normal', 2)
    inflow.letIn('low', 4)
    expect(LANES.map((lane) => inflow.ownRows(lane))).toEqual([1, 3, 7])
  })

  it('is a share, and at least what this door let in, whatever is said and when', () => {
    const steps = fc.array(
      fc.tuple(
        fc.constantFrom(...LANES),
        fc.nat({ max: 1_000 }),
        fc.nat({ max: 10_000 }),
        fc.nat({ max: 3_000 }),
      ),
    )
    fc.assert(
      fc.property(steps, (all) => {
        const inflow = new Inflow()
        let at = 0
        for (const [lane, rows, waiting, laterMs] of all) {
          inflow.letIn(lane, rows)
          at += laterMs
          inflow.heard(poolOf(waiting), at)
          expect(inflow.share).toBeGreaterThan(0)
          expect(inflow.share).toBeLessThanOrEqual(1)
          for (const each of LANES)
            expect(inflow.sinceRows(each)).toBeGreaterThanOrEqual(inflow.ownRows(each))
        }
      }),
    )
  })
})
