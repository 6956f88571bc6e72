import { describe, expect, it } from 'vitest'
import { LaneRates } from './lane-rates.ts'

/** Time in which so much comes of lane `high`, in words of so many milliseconds. */
function pass(
  rates: LaneRates,
  { perSecond, forMs, everyMs }: Record<'perSecond' | 'forMs' | 'everyMs', number>,
) {
  for (let at = 0; at < forMs; at += everyMs) {
    rates.came('high', (perSecond * everyMs) / 1_000)
    rates.passed(everyMs)
  }
}

describe('LaneRates', () => {
  it.each([5, 55, 550, 5_500])('are what comes a second, where it is looked every %i ms', (everyMs) => {
    const rates = new LaneRates()
    pass(rates, { perSecond: 200, forMs: 11_000, everyMs })
    expect(rates.perSecond.high).toBeCloseTo(200)
    expect(rates.perSecond).toMatchObject({ normal: 0, low: 0 })
  })

  it('take a moment for no more than it is', () => {
    const rates = new LaneRates()
    rates.came('low', 10)
    rates.passed(1)
    expect(rates.perSecond.low).toBeLessThan(40)
    expect(rates.perSecond.low).toBeGreaterThan(0)
  })

  it('forget what came before, and count nothing in no time', () => {
    const rates = new LaneRates()
    pass(rates, { perSecond: 200, forMs: 2_000, everyMs: 50 })
    rates.passed(0)
    expect(rates.perSecond.high).toBeCloseTo(200, 0)
    rates.passed(1_000)
    expect(rates.perSecond.high).toBeLessThan(10)
  })
})
