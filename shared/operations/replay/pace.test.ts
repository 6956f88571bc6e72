import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPace } from './pace.ts'

/** Sends for a while as fast as the pace allows; returns when each was sent. */
function sendTimes(rate: number, rampSeconds: number, untilMs: number): number[] {
  const pace = createPace(rate, rampSeconds, 0)
  const times: number[] = []
  for (let now = 0; now < untilMs; ) {
    const waitMs = pace.next(now)
    if (waitMs === 0) times.push(now)
    else now += waitMs
  }
  return times
}

describe('the pace', () => {
  it('keeps any rate over any second, save for a tenth of a second saved up', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2_000 }), (rate) => {
        const times = sendTimes(rate, 0, 3_000)
        const second = times.filter((time) => time >= 1_000 && time < 2_000).length
        expect(second).toBeLessThanOrEqual(Math.ceil(1.1 * rate) + 1)
        expect(second).toBeGreaterThanOrEqual(Math.floor(0.9 * rate) - 1)
      }),
      { numRuns: 30 },
    )
  })

  it('grows to the full rate over the ramp', () => {
    const times = sendTimes(100, 10, 12_000)
    const inSecond = (from: number): number =>
      times.filter((time) => time >= from * 1_000 && time < (from + 1) * 1_000).length
    expect(inSecond(0)).toBeLessThan(12)
    expect(inSecond(4)).toBeGreaterThan(35)
    expect(inSecond(4)).toBeLessThan(55)
    expect(inSecond(11)).toBeGreaterThan(90)
  })
})
