import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { notNow } from './ack-words.ts'

/** What the broker reads: nothing, or a delay in nanoseconds. */
function delayOf(word: string): number | undefined {
  const [kind, body, ...rest] = word.split(' ')
  expect(kind).toBe('-NAK')
  expect(rest).toEqual([])
  return body === undefined ? undefined : (JSON.parse(body) as { delay: number }).delay
}

describe('notNow', () => {
  it('says no delay where there is none: the broker delivers at once', () => {
    expect(notNow()).toBe('-NAK')
    expect(notNow(0)).toBe('-NAK')
    expect(notNow(-1)).toBe('-NAK')
  })

  it('says the delay in nanoseconds', () => {
    expect(notNow(5_000)).toBe('-NAK {"delay":5000000000}')
    expect(notNow(0.25)).toBe('-NAK {"delay":250000}')
  })

  it('says a whole number for any delay, never less than was asked for: the broker reads no other', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 86_400_000, noNaN: true }), (delayMs) => {
        const delay = delayOf(notNow(delayMs)) ?? 0
        expect(Number.isInteger(delay)).toBe(true)
        expect(delay).toBeGreaterThanOrEqual(delayMs * 1e6)
        expect(delay - delayMs * 1e6).toBeLessThan(1)
      }),
    )
  })
})
