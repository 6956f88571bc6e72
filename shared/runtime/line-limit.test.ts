import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LineLimit } from './line-limit.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function open() {
  const rests: [string, number][] = []
  const limit = new LineLimit({ onRest: (kind, count) => rests.push([kind, count]) })
  const tell = (kind: string, times: number): number =>
    Array.from({ length: times }, () => limit.admit(kind)).filter(Boolean).length
  return { limit, rests, tell }
}

describe('LineLimit', () => {
  it('tells ten of each kind a minute, and how many more there were', () => {
    const { rests, tell } = open()
    expect([tell('conflict', 10_000), tell('other', 3)]).toEqual([10, 3])
    expect(rests).toEqual([])
    vi.advanceTimersByTime(60_000)
    expect(rests).toEqual([['conflict', 9_990]])
    expect(tell('conflict', 20)).toBe(10)
  })

  it('tells the rest when it is closed, and leaves no timer', () => {
    const { limit, rests, tell } = open()
    tell('conflict', 11)
    limit.close()
    expect(rests).toEqual([['conflict', 1]])
    expect(vi.getTimerCount()).toBe(0)
  })
})
