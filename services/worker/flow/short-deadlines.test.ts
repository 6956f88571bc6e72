import { describe, expect, it } from 'vitest'
import { ShortDeadlines } from './short-deadlines.ts'

const broughtBy = (...deadlines: readonly (readonly [deadlineMs: number, events: number])[]) => {
  const short = new ShortDeadlines()
  for (const [deadlineMs, events] of deadlines)
    for (let event = 0; event < events; event++) short.brought(deadlineMs)
  return short
}

describe('ShortDeadlines', () => {
  it('knows none while none was brought, and none again once all have faded', () => {
    const short = new ShortDeadlines()
    expect(short.shortMs).toBe(0)
    short.brought(250)
    for (let times = 0; times < 20; times++) short.fade(0.5)
    expect(short.shortMs).toBe(0)
  })

  it('is the deadline itself where all bring the same', () => {
    for (const deadlineMs of [0.5, 1, 250, 3_600_000, 1e12])
      expect(broughtBy([deadlineMs, 100]).shortMs).toBeCloseTo(deadlineMs, 3)
  })

  it('is not decided by an odd event, and is by one in ten', () => {
    expect(broughtBy([10, 3], [250, 97]).shortMs).toBeCloseTo(250)
    expect(broughtBy([10, 10], [250, 90]).shortMs).toBeCloseTo(10)
    expect(broughtBy([250, 90], [60_000, 10]).shortMs).toBeCloseTo(250)
  })

  it('counts an event for as many as it stands for', () => {
    const short = new ShortDeadlines()
    short.brought(250, 97)
    short.brought(10, 3)
    expect(short.shortMs).toBeCloseTo(250)
  })

  it('follows deadlines that grow, once the shorter ones have faded', () => {
    const short = broughtBy([250, 100])
    short.fade(0.01)
    for (let event = 0; event < 100; event++) short.brought(1_000)
    expect(short.shortMs).toBeCloseTo(1_000)
  })
})
