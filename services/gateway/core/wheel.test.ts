import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TICK_MS, Wheel } from './wheel.ts'

describe('the wheel', () => {
  test('gives each item once, never early, and at the first look a tick after its time', () => {
    const times = fc.array(fc.double({ min: 0, max: 5_000, noNaN: true }), { maxLength: 50 })
    const steps = fc.array(fc.double({ min: 0, max: 700, noNaN: true }), { maxLength: 50 })
    fc.assert(
      fc.property(times, steps, (added, pauses) => {
        const wheel = new Wheel<number>()
        for (const at of added) wheel.add(at, at)
        const taken: number[] = []
        let now = 0
        for (const pause of [...pauses, 6_000]) {
          now += pause
          for (const at of wheel.take(now)) {
            expect(at).toBeLessThanOrEqual(now)
            taken.push(at)
          }
          const late = added.filter((at) => at <= now - TICK_MS)
          expect(taken.length).toBeGreaterThanOrEqual(late.length)
        }
        expect([...taken].sort()).toEqual([...added].sort())
      }),
    )
  })

  test('gives what is added for a time that is over at its next look', () => {
    const wheel = new Wheel<string>()
    wheel.take(1_000)
    wheel.add(3, 'late')
    expect(wheel.take(1_000)).toEqual([])
    expect(wheel.take(1_000 + TICK_MS)).toEqual(['late'])
  })

  test('forgets all when it is cleared', () => {
    const wheel = new Wheel<string>()
    wheel.add(3, 'one')
    wheel.clear()
    expect(wheel.take(100)).toEqual([])
  })
})
