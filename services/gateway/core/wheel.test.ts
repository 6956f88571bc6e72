import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TICK_MS, type Timed, Wheel } from './wheel.ts'

interface Item extends Timed {
  readonly at: number
}

const item = (at: number): Item => ({ at, tick: undefined })
const time = fc.double({ min: 0, max: 5_000, noNaN: true })

describe('the wheel', () => {
  test('gives each item once, never early, at the first look a tick after its time, and none that was removed', () => {
    const steps = fc.array(fc.double({ min: 0, max: 700, noNaN: true }), { maxLength: 50 })
    const times = fc.array(fc.record({ at: time, isRemoved: fc.boolean() }), { maxLength: 50 })
    fc.assert(
      fc.property(times, steps, (given, pauses) => {
        const wheel = new Wheel<Item>()
        const all = given.map(({ at }) => item(at))
        for (const each of all) wheel.set(each.at, each)
        const kept = all.filter((_, index) => given[index]?.isRemoved === false)
        for (const each of all) if (!kept.includes(each)) wheel.remove(each)
        const taken: Item[] = []
        let now = 0
        for (const pause of [...pauses, 6_000]) {
          now += pause
          const due = wheel.take(now)
          // Never early, but for what a division of doubles cannot tell.
          for (const { at } of due) expect(at - now).toBeLessThan(1e-6)
          taken.push(...due)
          const late = kept.filter(({ at }) => at <= now - TICK_MS)
          expect(late.filter((each) => !taken.includes(each))).toEqual([])
        }
        expect(new Set(taken)).toEqual(new Set(kept))
        expect(taken).toHaveLength(kept.length)
      }),
    )
  })

  test('gives an item at its last time alone', () => {
    const wheel = new Wheel<Item>()
    const moved = item(100)
    wheel.set(100, moved)
    wheel.set(300, moved)
    expect(wheel.take(200)).toEqual([])
    expect(wheel.take(300)).toEqual([moved])
    expect(wheel.take(1_000)).toEqual([])
  })

  test('gives what is added for a time that is over at its next look', () => {
    const wheel = new Wheel<Item>()
    wheel.take(1_000)
    const late = item(3)
    wheel.set(3, late)
    expect(wheel.take(1_000)).toEqual([])
    expect(wheel.take(1_000 + TICK_MS)).toEqual([late])
  })
})
