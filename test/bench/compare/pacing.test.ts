import { describe, expect, it } from 'vitest'
import { intendedMs, orderOf, voidReason, wallClockOffset } from './pacing.ts'

describe('orderOf', () => {
  it('has each side first as often as second, in the order ABBA', () => {
    expect([0, 1, 2, 3].flatMap(orderOf).join(' ')).toBe('base head head base base head head base')
  })
})

describe('intendedMs', () => {
  it('depends on the place of an event alone, and does not drift', () => {
    expect(intendedMs(0, 3_000)).toBe(0)
    expect(intendedMs(3_000_000, 3_000)).toBe(1_000_000)
  })
})

describe('wallClockOffset', () => {
  it('finds the moment of a tick between looks, some of which come late', () => {
    const delaysMs = [0.9, 0.02, 0.5]
    let steady = 0
    let looks = 0
    const offset = wallClockOffset(
      {
        steadyMs: () => steady,
        wallMs() {
          // Every other look sees the next tick, so long after it.
          if (looks++ % 2 === 1) steady = Math.floor(steady) + 1 + (delaysMs[(looks >> 1) % 3] ?? 0)
          return 1_000_000 + Math.floor(steady)
        },
      },
      6,
    )
    expect(offset).toBeCloseTo(1_000_000 - 0.02, 6)
  })
})

describe('voidReason', () => {
  const lateMs = { p50: 0.5, p99: 5, max: 80 }

  it('lets a run count whose generator was in time', () => {
    expect(voidReason({ lateMs, clockMovedMs: -0.5 })).toBeUndefined()
  })

  it('says that the generator was late, and by how much', () => {
    expect(voidReason({ lateMs: { ...lateMs, p99: 5.04 }, clockMovedMs: 0 })).toContain('late: p99 5.0 ms')
  })

  it.each([0.51, -0.51])('says that the clock moved by %f ms', (clockMovedMs) => {
    expect(voidReason({ lateMs, clockMovedMs })).toContain(`moved by ${clockMovedMs} ms`)
  })
})
