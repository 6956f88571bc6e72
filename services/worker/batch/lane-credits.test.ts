import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LANE_ROWS } from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { LaneCredits } from './lane-credits.ts'

const MOST = 100
const ALL = LANES.map((lane) => ({ lane }))
const batchRows = fc.integer({ min: 1, max: MOST })
const lanes = fc
  .subarray([...LANES], { minLength: 1 })
  .map((some) => LANES.filter((lane) => some.includes(lane)).map((lane) => ({ lane })))

/** Gives one batch to the lane whose turn it is. */
function serve(credits: LaneCredits, waiting: readonly { readonly lane: Lane }[], rows: number): Lane {
  const { lane } = credits.begin(waiting)
  credits.spend(lane, rows)
  return lane
}

describe('LaneCredits', () => {
  it('gives lanes that all wait 8, 3 and 1 of 12 rows, but for a batch', () => {
    fc.assert(
      fc.property(fc.array(batchRows, { minLength: 50, maxLength: 400 }), (sizes) => {
        const credits = new LaneCredits()
        const served = { high: 0, normal: 0, low: 0 }
        for (const rows of sizes) served[serve(credits, ALL, rows)] += rows
        const rounds = LANES.map((lane) => served[lane] / LANE_ROWS[lane])
        expect(Math.max(...rounds) - Math.min(...rounds)).toBeLessThanOrEqual(MOST + 1)
      }),
    )
  })

  it('lets no lane that waits be passed over for longer than its debt takes, whatever others do', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(lanes, batchRows), { minLength: 200, maxLength: 600 }), (steps) => {
        const credits = new LaneCredits()
        let [since, longest] = [0, 0]
        for (const [others, rows] of steps) {
          const waiting = ALL.filter(
            ({ lane }) => lane === 'low' || others.some((each) => each.lane === lane),
          )
          since = serve(credits, waiting, rows) === 'low' ? 0 : since + rows
          longest = Math.max(longest, since)
        }
        // As many rounds as a batch has rows, and what the others may take beyond theirs.
        expect(longest).toBeLessThanOrEqual((8 + 3) * (MOST + 1) + 2 * MOST)
      }),
    )
  })

  it('gives a lane that has paused the next batch, and no more than that for the pause', () => {
    const credits = new LaneCredits()
    const lower = [{ lane: 'normal' }, { lane: 'low' }] as const
    for (let batch = 0; batch < 100; batch++) serve(credits, lower, 64)
    const next = Array.from({ length: 20 }, () => serve(credits, ALL, 64))
    expect(next[0]).toBe('high')
    expect(next.filter((lane) => lane === 'high').length).toBeLessThanOrEqual(15)
  })

  it('gives a lane that waits alone everything, and keeps nothing of it against the lane', () => {
    const credits = new LaneCredits()
    for (let batch = 0; batch < 100; batch++) expect(serve(credits, [{ lane: 'low' }], 64)).toBe('low')
    const next = Array.from({ length: 12 }, () => serve(credits, [{ lane: 'normal' }, { lane: 'low' }], 64))
    expect(next.filter((lane) => lane === 'low').length).toBeGreaterThanOrEqual(2)
  })

  it('mixes lanes within a batch as they share', () => {
    const credits = new LaneCredits()
    credits.begin(ALL)
    const rows = { high: 0, normal: 0, low: 0 }
    for (let row = 0; row < 120; row++) {
      const { lane } = credits.next(ALL)
      credits.spend(lane, 1)
      rows[lane]++
    }
    expect(rows).toEqual({ high: 80, normal: 30, low: 10 })
  })

  it('begins anew once nothing waits', () => {
    const credits = new LaneCredits()
    serve(credits, ALL, 10_000)
    credits.reset()
    expect(serve(credits, ALL, 1)).toBe('high')
  })
})
