import { describe, expect, it } from 'vitest'
import { blindSpot, judgeOutside, type OutsideKnown } from './outside.ts'
import type { Found } from './start.ts'

const EPOCH = '2026-01-31T12:00:00Z'
const OLD = '2026-01-30T12:00:00Z'
const LEDGER = '2026-01-30T12:00:01Z'
const FOUND: Found = {
  features: { epoch: EPOCH, lastSequence: 30 },
  ledger: { epoch: LEDGER, firstSequence: 1, lastSequence: 9 },
  madeAfter: {},
}
const MARKS = [
  [1_000, 20],
  [2_000, 8],
  [3_000, 28],
] as const

function known(epoch: string, marks: readonly (readonly [number, number])[], ledger = LEDGER): OutsideKnown {
  return { folder: '/marks', files: { marks: [{ features: { epoch, marks }, ledger }], damaged: [] } }
}

describe('what durable marks say', () => {
  it('is of this FEATURES how far it had come, and what was given out twice until a floor is signed off', () => {
    expect(judgeOutside(known(EPOCH, MARKS), FOUND, 0)).toEqual({
      marks: MARKS,
      takenBack: [{ at: 2_000, from: 20, to: 8 }],
      gone: [],
    })
    expect(judgeOutside(known(EPOCH, MARKS), FOUND, 2_500).takenBack).toEqual([])
  })

  it('is nothing twice of what FEATURES still ends before', () => {
    const shorter = { ...FOUND, features: { epoch: EPOCH, lastSequence: 19 } }
    expect(judgeOutside(known(EPOCH, MARKS), shorter, 0).takenBack).toEqual([])
  })

  it('is that another FEATURES is gone, where the LEDGER is the same and no floor was signed off since', () => {
    expect(judgeOutside(known(OLD, MARKS), FOUND, 0)).toEqual({
      marks: [],
      takenBack: [],
      gone: [{ epoch: OLD, sequence: 28, at: 3_000 }],
    })
    expect(judgeOutside(known(OLD, MARKS), FOUND, 3_001).gone).toEqual([])
    expect(judgeOutside(known(OLD, [[3_000, 0]]), FOUND, 0).gone).toEqual([])
  })

  it('is nothing of another broker', () => {
    const nothing = { marks: [], takenBack: [], gone: [] }
    expect(judgeOutside(known(OLD, MARKS, 'another LEDGER'), FOUND, 0)).toEqual(nothing)
  })
})

describe('what an audit cannot know', () => {
  const always = { syncMs: 0, unwritten: [] }
  const unset: OutsideKnown = { folder: undefined, files: { marks: [], damaged: [] } }
  const fresh = known(EPOCH, MARKS)
  const now = 3_000 + 60_000

  it('is nothing where marks are kept and the broker syncs first', () => {
    expect(blindSpot(fresh, MARKS, always, now)).toBeUndefined()
  })

  it.each([
    ['no folder', unset, [], always, ['PELTON_MARKS_FOLDER names no folder']],
    ['none of this FEATURES', fresh, [], always, ['/marks has no durable mark']],
    [
      'a broker that syncs later',
      fresh,
      MARKS,
      { ...always, syncMs: 120_000 },
      ['sequence 28', 'every 2 min'],
    ],
    ['one that does not tell', fresh, MARKS, { ...always, syncMs: undefined }, ['cannot be read']],
    [
      'streams that are not written',
      fresh,
      MARKS,
      { syncMs: 0, unwritten: ['LEDGER'] },
      ['LEDGER acknowledge'],
    ],
    ['both', unset, [], { ...always, syncMs: 120_000 }, ['syncs every', 'PELTON_MARKS_FOLDER']],
  ])('is said in one line: %s', (_what, outside, marks, syncs, parts) => {
    const line = blindSpot(outside, marks, syncs, now) ?? ''
    expect(line).toMatch(/^Cannot be known: [^\n]+\.$/)
    for (const part of parts) expect(line).toContain(part)
  })

  it('is said where nobody writes marks any more', () => {
    expect(blindSpot(fresh, MARKS, always, now + 1)).toContain('nobody writes durable marks any more')
  })
})
