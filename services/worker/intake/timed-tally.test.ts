import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LaneLimits } from './lane-limits.ts'
import { TimedTally } from './timed-tally.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('a timed tally', () => {
  it('counts each for its time, and says when it counts less', () => {
    let told = 0
    const tally = new TimedTally(() => told++)
    tally.add('a', '1', 10, 1_000)
    tally.add('a', '2', 5, 2_000)
    tally.add('b', '3', 1, 1_000)
    expect([tally.of('a'), tally.of('b')]).toEqual([
      { events: 2, bytes: 15 },
      { events: 1, bytes: 1 },
    ])
    expect(tally.size).toBe(3)
    vi.advanceTimersByTime(1_500)
    expect([...tally.read()]).toEqual([['a', { events: 1, bytes: 5 }]])
    expect(told).toBe(1)
    vi.advanceTimersByTime(1_000)
    expect([tally.size, told]).toEqual([0, 2])
  })

  it('counts once what is counted anew, for its new time and under its new name', () => {
    const tally = new TimedTally()
    tally.add('a', '1', 10, 1_000)
    tally.add('b', '1', 20, 5_000)
    expect([...tally.read()]).toEqual([['b', { events: 1, bytes: 20 }]])
    vi.advanceTimersByTime(2_000)
    expect(tally.size).toBe(1)
    tally.close()
  })

  it('keeps no timer while nothing is counted, and none once it is closed', () => {
    const tally = new TimedTally()
    expect(vi.getTimerCount()).toBe(0)
    tally.add('a', '1', 1, 1_000)
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(2_000)
    expect(vi.getTimerCount()).toBe(0)
    tally.add('a', '1', 1, 1_000)
    tally.close()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('the limit of a lane', () => {
  let workers: number
  let isTight: boolean
  let inHand: number
  const open = (): LaneLimits =>
    new LaneLimits({
      maxAckPending: 80,
      workers: () => workers,
      inHand: () => inHand,
      isTight: () => isTight,
      onMore: () => undefined,
    })

  beforeEach(() => {
    workers = 2
    isTight = false
    inHand = 0
  })

  it('is none while nothing is kept away and enough can be parked', () => {
    inHand = 500
    expect(open().most('c')).toBe(Number.POSITIVE_INFINITY)
  })

  it('is a quarter of what may be in flight, shared by the workers, less what is away and in hand', () => {
    const limits = open()
    limits.away.add('c', '1', 1, 1_000)
    inHand = 3
    expect([limits.most('c'), limits.most('other')]).toEqual([6, Number.POSITIVE_INFINITY])
    workers = 1
    expect(limits.most('c')).toBe(16)
  })

  it('holds from the first event where little more can be parked', () => {
    isTight = true
    inHand = 4
    expect(open().most('c')).toBe(6)
  })

  it('lets a lane stand when all of it is away, until something of it comes back', () => {
    const limits = open()
    for (let index = 0; index < 10; index++) limits.away.add('c', `${index}`, 1, 1_000)
    expect([limits.most('c'), limits.standing]).toEqual([0, ['c']])
    vi.advanceTimersByTime(1_500)
    expect([limits.most('c'), limits.standing]).toEqual([Number.POSITIVE_INFINITY, []])
  })
})
