import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readSchedule } from './read-request.ts'

const schedule = (parameters?: Readonly<Record<string, unknown>>) => readSchedule({ parameters })

describe('readSchedule', () => {
  test('asks for nothing where nothing is said', () => {
    expect(schedule()).toEqual({ timeoutMs: undefined, lane: 'normal' })
    expect(schedule({ timeout: 0, priority: 0 })).toEqual({ timeoutMs: undefined, lane: 'normal' })
  })

  test.each([
    [1, 'high'],
    [2, 'normal'],
    [3, 'low'],
    [4, 'low'],
    [2 ** 64, 'low'],
  ])('takes priority %i for %s', (priority, lane) => {
    expect(schedule({ priority }).lane).toBe(lane)
  })

  test('reads microseconds, gives no caller less than it asked for, and none more than a day', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 86_400_000_000 }), (timeout) => {
        const { timeoutMs = 0 } = schedule({ timeout })
        expect(timeoutMs * 1_000).toBeGreaterThanOrEqual(timeout)
        expect((timeoutMs - 1) * 1_000).toBeLessThan(timeout)
      }),
    )
    expect(schedule({ timeout: 2 ** 63 }).timeoutMs).toBe(86_400_000)
  })

  test.each([-1, 1.5, '1', null, true, [], {}, Number.POSITIVE_INFINITY])('refuses %j', (value) => {
    expect(() => schedule({ timeout: value })).toThrow(/parameters\.timeout/)
    expect(() => schedule({ priority: value })).toThrow(/parameters\.priority/)
  })
})
