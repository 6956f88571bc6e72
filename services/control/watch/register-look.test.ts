import { describe, expect, it } from 'vitest'
import { ResultRate } from './register-look.ts'

const T0 = Date.parse('2026-01-31T12:00:00Z')

const seen = (rate: ResultRate, seconds: number, lastSequence: number, created = 'one'): number =>
  rate.add({
    created,
    ts: new Date(T0 + seconds * 1_000).toISOString(),
    config: {},
    state: { messages: 0, bytes: 0, first_seq: 1, last_seq: lastSequence },
  })

describe('the rate of results', () => {
  it('is that of a minute: none before, and no burst of seconds', () => {
    const rate = new ResultRate()
    expect([0, 10, 20, 30, 40, 50].map((at) => seen(rate, at, at * 100))).toEqual([0, 0, 0, 0, 0, 0])
    expect(seen(rate, 60, 6_000)).toBe(100)
    // 60,000 in ten seconds, of which the minute has a sixth
    expect(seen(rate, 70, 66_000)).toBe((66_000 - 1_000) / 60)
    expect(seen(rate, 140, 66_000)).toBe(0)
  })

  it('begins anew with another RESULTS, and is never below none', () => {
    const rate = new ResultRate()
    seen(rate, 0, 1_000)
    expect(seen(rate, 60, 500, 'two')).toBe(0)
    expect(seen(rate, 120, 400, 'two')).toBe(0)
    expect(seen(rate, 190, 1_100, 'two')).toBe(10)
  })
})
