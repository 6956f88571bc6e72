import { describe, expect, test } from 'vitest'
import { capacityOf, nextStep, type Stairs, type Step } from './staircase.ts'

/** Climbs the stairs of somebody who carries so much. */
function climb(carries: number, stairs: Stairs): readonly Step[] {
  const steps: Step[] = []
  for (let next = nextStep(steps, stairs); next !== undefined; next = nextStep(steps, stairs)) {
    steps.push({ perSecond: next, inTime: next <= carries ? 1 : 0.5 })
    if (steps.length > 100) throw new Error('the stairs do not end')
  }
  return steps
}

describe('a staircase', () => {
  test('goes up until a step is not carried, and ends', () => {
    const steps = climb(450, { start: 100, factor: 2, most: 10_000 })
    expect(steps.map(({ perSecond }) => perSecond)).toEqual([100, 200, 400, 800])
    expect(capacityOf(steps)).toBe(400)
  })

  test('goes down from a first step that is too high', () => {
    const steps = climb(130, { start: 800, factor: 2, most: 10_000 })
    expect(steps.map(({ perSecond }) => perSecond)).toEqual([800, 400, 200, 100])
    expect(capacityOf(steps)).toBe(100)
  })

  test('gives up far below its first step', () => {
    const steps = climb(0, { start: 640, factor: 2, most: 10_000 })
    expect(steps.at(-1)?.perSecond).toBe(10)
    expect(capacityOf(steps)).toBeUndefined()
  })

  test('stops at the most that is allowed', () => {
    expect(climb(1e9, { start: 100, factor: 3, most: 500 }).map(({ perSecond }) => perSecond)).toEqual([
      100, 300, 500,
    ])
  })

  test('what is just below 99 % in time is not carried', () => {
    expect(capacityOf([{ perSecond: 100, inTime: 0.9899 }])).toBeUndefined()
    expect(capacityOf([{ perSecond: 100, inTime: 0.99 }])).toBe(100)
  })

  test('a higher step that was carried by luck does not count above one that was not', () => {
    const steps = [
      { perSecond: 100, inTime: 1 },
      { perSecond: 200, inTime: 0.9 },
      { perSecond: 400, inTime: 1 },
    ]
    expect(capacityOf(steps)).toBe(100)
  })
})
