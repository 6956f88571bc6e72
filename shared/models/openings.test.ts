import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Openings } from './openings.ts'
import { LONG_RUN_MS } from './slots.ts'

describe('Openings', () => {
  it('let the runs of a model wait no longer, all together, than opening it takes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200 }), fc.array(fc.nat({ max: 20 })), (openMs, waits) => {
        const openings = new Openings()
        openings.opened('a', openMs)
        let waitedMs = 0
        for (const wait of waits) {
          const ms = Math.min(wait, openings.patienceMs('a'))
          if (ms === 0) continue
          openings.waited('a', ms)
          waitedMs += ms
        }
        expect(waitedMs).toBeLessThanOrEqual(Math.min(openMs, LONG_RUN_MS))
      }),
    )
  })

  it('begin anew once the model was opened again, and forget waits that few runs have', () => {
    const openings = new Openings()
    openings.opened('a', 8)
    openings.waited('a', 8)
    expect(openings.patienceMs('a')).toBe(0)
    openings.waited('a', 0)
    expect(openings.patienceMs('a')).toBe(4)
    openings.opened('a', 6)
    expect(openings.patienceMs('a')).toBe(6)
  })
})
