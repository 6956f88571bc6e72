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

  it('close no model for another while all are run in turn, and some for one that is run far more often', () => {
    const openings = new Openings()
    const usedAt = new Map<string, number>()
    const run = (key: string): void => void usedAt.set(key, openings.ran(key))
    const inTurn = Array.from({ length: 200 }, (_, index) => `model-${index}`)
    for (let round = 0; round < 3; round++)
      for (const [index, key] of inTurn.entries()) {
        const oldest = usedAt.get(inTurn[(index + 1) % inTurn.length] as string)
        if (oldest !== undefined) expect(openings.mayReplace(key, oldest)).toBe(false)
        run(key)
      }
    for (const other of inTurn.slice(0, 50)) {
      run('often')
      run(other)
    }
    expect(openings.mayReplace('often', usedAt.get('model-150') ?? 0)).toBe(true)
    expect(openings.mayReplace('never run', usedAt.get('model-150') ?? 0)).toBe(false)
  })
})
