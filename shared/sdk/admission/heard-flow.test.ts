import { describe, expect, it } from 'vitest'
import { flowOf, NONE } from '../../../test/kit/flow.ts'
import type { Flow } from '../contract/flow.ts'
import { HeardFlow } from './heard-flow.ts'

function heard(...flows: readonly Flow[]): HeardFlow {
  const all = new HeardFlow()
  for (const [at, flow] of flows.entries()) all.hear(flow, at)
  return all
}

const gate = { limit: 'breaker', lanes: ['low'], value: 1, measured: 2, retryAfterMs: 500 } as const

describe('HeardFlow', () => {
  it('knows nothing before a word', () => {
    expect(new HeardFlow().at(0)).toBeUndefined()
  })

  it('adds up what workers do, and takes what waits, and what each holds for that, from the one that spoke last', () => {
    const one = flowOf({
      name: 'one',
      held: { high: 1, normal: 2, low: 3 },
      waiting: { high: 90, normal: 90, low: 90 },
    })
    const other = flowOf({
      name: 'other',
      ...{ rowsPerEvent: 2, drainRows: 50, waiting: { high: 10, normal: 20, low: 30 } },
      held: { high: 1, normal: 1, low: 1 },
    })
    const pool = heard(one, other).at(2)
    expect(pool?.drainRows).toBe(150)
    expect(pool?.rowsPerEvent).toBe(2)
    expect(pool?.aheadRows).toEqual({ high: 23, normal: 66, low: 129 })
    expect(pool?.atMs).toBe(1)
  })

  it('counts who was heard of a large fleet for who was not, until each had the time to speak', () => {
    const workers = 100
    const everyMs = 50 * workers
    const fleet = new HeardFlow()
    for (let at = 0; at < 2 * workers; at++) {
      const held = { high: 0, normal: 3, low: 0 }
      fleet.hear(flowOf({ name: `w${at % workers}`, everyMs, drainRows: 10, held }), 50 * at)
      const pool = fleet.at(50 * at)
      // The second one to speak has seen as much time pass as one word takes: it counts for half of them.
      if (at > 0) expect(pool?.drainRows).toBeCloseTo(10 * workers)
      expect((1_000 * (pool?.aheadRows.normal ?? 0)) / (pool?.drainRows ?? 0)).toBeCloseTo(300)
    }
  })

  it('begins anew with a fleet that was silent', () => {
    const fleet = heard(flowOf({ name: 'w0', everyMs: 5_000, drainRows: 10 }))
    fleet.hear(flowOf({ name: 'w1', everyMs: 5_000, drainRows: 10 }), 60_000)
    expect(fleet.at(60_000)?.drainRows).toBe(500)
  })

  it('takes the last word of each, not all of them', () => {
    const pool = heard(flowOf({ name: 'one', drainRows: 5 }), flowOf({ name: 'one', drainRows: 7 })).at(2)
    expect(pool?.drainRows).toBe(7)
  })

  it('believes workers what waits while there are any, and control its gates in any case', () => {
    const control = flowOf({
      name: 'c',
      by: 'control',
      drainRows: 0,
      waiting: { high: 0, normal: 500, low: 0 },
      gates: [gate],
    })
    const both = heard(flowOf({ name: 'w', waiting: { high: 0, normal: 3, low: 0 } }), control).at(2)
    expect(both?.aheadRows.normal).toBe(3)
    const said = { ...gate, because: 'breaker is as full as it may be' }
    expect(both?.gates).toEqual([said])
    const alone = heard(control).at(1)
    expect(alone).toMatchObject({
      drainRows: 0,
      aheadRows: { high: 0, normal: 500, low: 500 },
      gates: [said],
    })
  })

  it('takes the shortest deadline of a lane that anybody saw, and every heavy source', () => {
    const pool = heard(
      flowOf({ name: 'one', deadlineMs: { high: 0, normal: 300, low: 0 }, heavy: ['a'] }),
      flowOf({ name: 'other', deadlineMs: { high: 50, normal: 200, low: 0 }, heavy: ['b', 'a'], hot: 'b' }),
    ).at(2)
    expect(pool?.deadlineMs).toEqual({ high: 50, normal: 200, low: 0 })
    expect(pool?.heavy).toEqual(new Set(['a', 'b']))
    expect(pool?.hot).toEqual(new Set(['b']))
  })

  it('believes a word for a second, or three of its own intervals where those are longer', () => {
    const quick = heard(flowOf({ name: 'w', everyMs: 50 }))
    expect(quick.at(999)).toBeDefined()
    expect(quick.at(1_000)).toBeUndefined()
    const slow = heard(flowOf({ name: 'w', everyMs: 2_000 }))
    expect(slow.at(5_999)).toBeDefined()
    expect(slow.at(6_000)).toBeUndefined()
  })

  it('goes on with the others when one is not heard any more', () => {
    const flow = heard(flowOf({ name: 'gone', drainRows: 1_000, held: { high: 9, normal: 0, low: 0 } }))
    flow.hear(flowOf({ name: 'there' }), 900)
    expect(flow.at(999)?.drainRows).toBe(1_100)
    expect(flow.at(1_001)).toMatchObject({ drainRows: 100, aheadRows: NONE })
    expect(flow.at(1_900)).toBeUndefined()
  })
})
