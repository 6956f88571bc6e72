import { describe, expect, it } from 'vitest'
import type { Floor } from './floor.ts'
import { type Found, type Known, startFrom } from './start.ts'

const EPOCH = '2026-01-31T12:00:00Z'
const OTHER = '2026-02-01T12:00:00Z'
const AT = '2026-01-31T13:00:00Z'
const FLOOR: Floor = {
  epoch: EPOCH,
  sequence: 20,
  ledger: { epoch: EPOCH, next: 7 },
  at: AT,
  waiting: [[3, 5]],
  retries: [{ token: 'A'.repeat(22), stream: 'FEATURES', sequence: 2 }],
}

const known = (floor: Floor | undefined = FLOOR, features?: Known['features']): Known => ({
  floor,
  revision: 1,
  features,
  outside: { folder: undefined, files: { marks: [], damaged: [] } },
})

function found(change: Partial<Found['features'] & Found['ledger']> & { ledgerEpoch?: string } = {}): Found {
  const { epoch = EPOCH, lastSequence = 30, firstSequence = 1, ledgerEpoch = EPOCH } = change
  const ledger = { epoch: ledgerEpoch, firstSequence, lastSequence: 9 }
  return { features: { epoch, lastSequence }, ledger, madeAfter: { LEDGER: ledgerEpoch } }
}

describe('where an audit starts', () => {
  it('is the floor, and with it what was open then', () => {
    const start = startFrom(known(), found(), { isFull: false })
    expect(start).toMatchObject({ floor: FLOOR, earlier: undefined, warnings: [] })
    expect(start.openThen).toMatchObject({ sequence: 20, waiting: [[3, 5]], retries: FLOOR.retries })
  })

  it('is the first event without a floor, or when that is asked for', () => {
    const nothing = { sequence: 0, waiting: [], retries: [] }
    for (const start of [
      startFrom({ ...known(), floor: undefined }, found(), { isFull: false }),
      startFrom(known(), found(), { isFull: true }),
    ])
      expect(start).toMatchObject({ floor: undefined, earlier: undefined, openThen: nothing, warnings: [] })
  })

  it.each([
    ['FEATURES ends before it', found({ lastSequence: 19 }), 'FEATURES ends before it, at 19'],
    ['the LEDGER is another', found({ ledgerEpoch: OTHER }), `another LEDGER, created ${EPOCH}`],
  ])('is the first event where %s, with a warning', (_what, streams, warning) => {
    const start = startFrom(known(), streams, { isFull: false })
    expect(start.floor).toBeUndefined()
    expect(start.warnings).toEqual([expect.stringContaining(warning)])
  })

  it('is the first event where the LEDGER ends before the floor', () => {
    const floor = { ...FLOOR, ledger: { epoch: EPOCH, next: 11 } }
    const start = startFrom(known(floor), found(), { isFull: false })
    expect([start.floor, start.warnings]).toEqual([undefined, [expect.stringContaining('the LEDGER ends')]])
  })

  it('is a later floor nobody signed off, where it counts; no doubt of it is told', () => {
    const since: Floor = { ...FLOOR, sequence: 25, ledger: { epoch: EPOCH, next: 9 }, at: OTHER }
    for (const signedOff of [FLOOR, undefined])
      expect(startFrom({ ...known(), floor: signedOff }, found(), { isFull: false, since })).toMatchObject({
        floor: since,
        openThen: { sequence: 25 },
        warnings: [],
      })
    for (const other of [
      { ...since, ledger: { epoch: EPOCH, next: 6 } },
      { ...since, epoch: OTHER },
      { ...since, sequence: 31 },
      { ...since, ledger: { epoch: OTHER, next: 9 } },
    ])
      expect(startFrom(known(), found(), { isFull: false, since: other })).toMatchObject({
        floor: FLOOR,
        warnings: [],
      })
    expect(startFrom(known(), found(), { isFull: true, since }).floor).toBeUndefined()
  })

  it('follows what was open in a FEATURES that was made anew', () => {
    for (const isFull of [false, true]) {
      const start = startFrom(known(), found({ epoch: OTHER, lastSequence: 1 }), { isFull })
      expect(start).toMatchObject({ floor: undefined, earlier: FLOOR, reached: 0 })
      expect(start.openThen.retries).toEqual([{ ...FLOOR.retries[0], epoch: EPOCH }])
      expect(start.warnings).toEqual([expect.stringContaining('another FEATURES')])
    }
  })

  it('asks nothing of what was open before the oldest record that is left', () => {
    for (const epoch of [EPOCH, OTHER]) {
      const start = startFrom(known(), found({ epoch, firstSequence: 8 }), { isFull: false })
      expect([start.earlier, start.openThen.retries]).toEqual([undefined, []])
      expect(start.warnings.at(-1)).toContain('older than what the LEDGER keeps')
    }
  })
})

describe('whether FEATURES was made anew', () => {
  const remade = (floor: Floor | undefined, streams: Found, features?: Known['features']) =>
    startFrom({ ...known(undefined, features), floor }, streams, { isFull: true }).remade

  it('is known by a floor, by the watch, and by a stream that is made after it', () => {
    const marks = [[10, 4]] as const
    expect(remade(FLOOR, found({ epoch: OTHER, ledgerEpoch: OTHER }))).toContain('a floor was signed off')
    expect(remade(undefined, found(), { epoch: OTHER, marks })).toContain('the watch saw')
    expect(remade(undefined, found({ epoch: OTHER }))).toContain('the LEDGER, which is made after it')
    expect(remade(undefined, found(), { epoch: EPOCH, marks })).toBeUndefined()
    expect(remade(undefined, found({ ledgerEpoch: OTHER }))).toBeUndefined()
  })

  it('is signed for by a floor of today, also once the LEDGER has let go of its records', () => {
    const floor = { ...FLOOR, epoch: OTHER }
    const streams = found({ epoch: OTHER, firstSequence: 8 })
    expect(remade(floor, streams)).toBeUndefined()
    expect(startFrom(known(floor), streams, { isFull: true }).signed).toBe(floor)
  })
})

describe('how far FEATURES had come', () => {
  it('is what the floor and the watch know of this one', () => {
    const marks = [
      [10, 4],
      [20, 25],
    ] as const
    const start = startFrom(known(FLOOR, { epoch: EPOCH, marks }), found(), { isFull: false })
    expect([start.reached, start.marks]).toEqual([25, [...marks, [Date.parse(AT), 20]]])
    expect(startFrom(known(FLOOR, { epoch: OTHER, marks }), found(), { isFull: false }).reached).toBe(20)
  })

  it('is doubtful where the watch saw it go back since the floor', () => {
    const since = Date.parse(AT) + 1_000
    const marks = [
      [since - 2_000, 9],
      [since - 1_500, 3],
      [since - 1_000, 28],
      [since, 25],
    ] as const
    const { warnings } = startFrom(known(FLOOR, { epoch: EPOCH, marks }), found(), { isFull: false })
    expect(warnings).toEqual([expect.stringMatching(/^FEATURES went back from 28 to 25 before 2026-/)])
  })
})
