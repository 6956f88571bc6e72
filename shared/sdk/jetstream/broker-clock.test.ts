import { describe, expect, it } from 'vitest'
import { betterSample, type ClockSample } from './broker-clock.ts'

const KNOWN: ClockSample = { offset: 1_000, error: 1, at: 0 }

describe('betterSample', () => {
  it('keeps a sharp sample against a blurred one that does not contradict it', () => {
    expect(betterSample(KNOWN, { offset: 1_400, error: 500, at: 10_000 })).toBe(KNOWN)
  })

  it('takes a sample that is as sharp', () => {
    const fresh = { offset: 1_001, error: 1, at: 10_000 }
    expect(betterSample(KNOWN, fresh)).toBe(fresh)
  })

  it('takes a blurred sample once the known one is old: clocks drift', () => {
    const fresh = { offset: 1_010, error: 20, at: 60_000 }
    expect(betterSample(KNOWN, fresh)).toBe(fresh)
  })

  it('takes a blurred sample that proves another time: the clock was set, or another server answers', () => {
    const fresh = { offset: 5_000, error: 500, at: 10_000 }
    expect(betterSample(KNOWN, fresh)).toBe(fresh)
  })
})
