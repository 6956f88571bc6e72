import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ConsumerReset } from '../../../shared/operations/watch-record/record.ts'
import type { LaneLook } from './lane-look.ts'
import { judgeOrphans, type OrphanMemory } from './orphans.ts'

const NOW = Date.parse('2026-01-31T12:00:00Z')
const lane = (change: Partial<LaneLook> = {}): LaneLook => ({
  stream: 'FEATURES',
  consumer: 'worker-default-normal',
  pool: 'default',
  filter: 'features.default.*.normal',
  pending: 3,
  inFlight: 0,
  redelivered: 0,
  waitingPulls: 1,
  lastActiveAt: NOW,
  drift: undefined,
  pausedUntil: undefined,
  orphans: 0,
  ...change,
})
const reset = (at: number, consumer = 'worker-default-normal'): ConsumerReset => ({
  what: 'consumer-reset',
  at: new Date(at).toISOString(),
  by: 'control',
  stream: 'FEATURES',
  consumer,
  orphans: 1,
  inFlight: 0,
})

/** Judges looks one after the other, a second apart. */
function judgeAll(looks: readonly LaneLook[], resets: readonly ConsumerReset[] = []) {
  let memory: ReadonlyMap<string, OrphanMemory> = new Map()
  return looks.map((look, index) => {
    const judged = judgeOrphans(memory, [look], resets, NOW + index * 1_000)
    memory = judged.memory
    return judged
  })
}

describe('judgeOrphans', () => {
  it('alerts and resets at the third look in a row, with the fewest it saw', () => {
    const judged = judgeAll([5, 4, 6].map((orphans) => lane({ orphans })))
    expect(judged.map(({ alerts }) => alerts.length)).toEqual([0, 0, 1])
    expect(judged.at(-1)?.alerts).toMatchObject([
      { kind: 'orphans', about: 'worker-default-normal', count: 4 },
    ])
    expect(judged.at(-1)?.resets).toMatchObject([{ stream: 'FEATURES', orphans: 4, inFlight: 0 }])
  })

  it('begins again when a look sees none', () => {
    const judged = judgeAll([1, 1, 0, 1, 1].map((orphans) => lane({ orphans })))
    expect(judged.flatMap(({ alerts, resets }) => [...alerts, ...resets])).toEqual([])
  })

  it('waits six more looks for nothing to be in flight, and then says how many are', () => {
    const judged = judgeAll(Array.from({ length: 9 }, () => lane({ orphans: 2, inFlight: 7 })))
    expect(judged.map(({ resets }) => resets.length)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1])
    expect(judged.at(-1)?.resets).toMatchObject([{ inFlight: 7 }])
    const calm = judgeAll([1, 1, 1, 0].map((inFlight) => lane({ orphans: 2, inFlight })))
    expect(calm.at(-1)?.resets).toHaveLength(1)
  })

  it.each([
    [
      'a consumer whose configuration would lose them again',
      { drift: 'max_deliver is 1' },
      /Mend the consumer/,
    ],
    ['a consumer that is paused', { pausedUntil: '2026-02-01T00:00:00Z' }, /once it is resumed/],
    ['a consumer that is none of Pelton', { pool: undefined, consumer: 'stranger' }, /none of Pelton/],
  ])('never resets %s', (_what, change, remedy) => {
    const judged = judgeAll(Array.from({ length: 20 }, () => lane({ orphans: 1, ...change })))
    expect(judged.flatMap(({ resets }) => resets)).toEqual([])
    expect(judged.at(-1)?.alerts.find(({ kind }) => kind === 'orphans')?.remedy).toMatch(remedy)
  })

  it('tells of a changed consumer at once, orphans or not', () => {
    const [judged] = judgeAll([lane({ drift: 'max_deliver is 5', pending: 2, inFlight: 1 })])
    expect(judged?.alerts).toMatchObject([
      { kind: 'changed-consumer', count: 3, remedy: expect.stringContaining('provision') },
    ])
  })

  it('tells at once of a consumer somebody paused, until when, and how many events wait', () => {
    const [judged] = judgeAll([lane({ pausedUntil: '2026-02-01T00:00:00Z', pending: 2, inFlight: 1 })])
    expect(judged?.alerts).toEqual([
      {
        kind: 'paused-consumer',
        about: 'worker-default-normal',
        text: 'somebody paused it until 2026-02-01T00:00:00Z: it hands out nothing, and its events wait',
        remedy: 'Resume it: `nats consumer resume FEATURES worker-default-normal`.',
        count: 3,
      },
    ])
  })

  it('pauses longer after each reset of the same consumer, an hour at most, for a day', () => {
    const orphaned = [1, 1, 1].map((orphans) => lane({ orphans }))
    const isReset = (resets: readonly ConsumerReset[]): boolean =>
      judgeAll(orphaned, resets).at(-1)?.resets.length === 1
    const minutes = (...ago: readonly number[]): ConsumerReset[] =>
      ago.map((each) => reset(NOW - each * 60_000))
    expect(isReset(minutes(0.5))).toBe(false)
    expect(isReset(minutes(1.1))).toBe(true)
    expect(isReset(minutes(10, 1.1))).toBe(false)
    expect(isReset(minutes(10, 2.1))).toBe(true)
    const many = Array.from({ length: 20 }, (_item, index) => 61 + index)
    expect(isReset(minutes(...many))).toBe(true)
    expect(isReset(minutes(...many, 59))).toBe(false)
    expect(isReset(minutes(25 * 60, 1.1))).toBe(true)
    expect(isReset([reset(NOW, 'worker-default-low')])).toBe(true)
  })

  it('resets no consumer twice within a minute, whatever it sees', () => {
    const looks = fc.array(fc.record({ orphans: fc.nat(3), inFlight: fc.nat(2) }), { maxLength: 80 })
    fc.assert(
      fc.property(looks, (seen) => {
        let memory: ReadonlyMap<string, OrphanMemory> = new Map()
        const done: ConsumerReset[] = []
        for (const [index, look] of seen.entries()) {
          const at = NOW + index * 10_000
          const judged = judgeOrphans(memory, [lane(look)], done, at)
          memory = judged.memory
          for (const _each of judged.resets) done.push(reset(at))
        }
        const gaps = done.slice(1).map(({ at }, index) => Date.parse(at) - Date.parse(done[index]?.at ?? ''))
        for (const [index, gap] of gaps.entries()) expect(gap).toBeGreaterThanOrEqual(60_000 * 2 ** index)
      }),
    )
  })
})
