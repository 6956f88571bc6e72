import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHalfBits, toHalfBits } from './float16.ts'

/** The two halves around a value and which is nearer, found by search instead of by arithmetic on bits. */
function nearestHalf(magnitude: number): number {
  let low = 0
  let high = 0x7bff
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (fromHalfBits(middle) <= magnitude) low = middle
    else high = middle - 1
  }
  const below = magnitude - fromHalfBits(low)
  const above = (low === 0x7bff ? 65536 : fromHalfBits(low + 1)) - magnitude
  if (below !== above) return below < above ? low : low + 1
  return low % 2 === 0 ? low : low + 1
}

describe('float16', () => {
  it('gives every bit pattern back, NaN as the canonical one', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = fromHalfBits(bits)
      const expected = Number.isNaN(value) ? 0x7e00 : bits
      if (toHalfBits(value) !== expected) expect(toHalfBits(value)).toBe(expected)
    }
  })

  it('knows well-known values', () => {
    expect(toHalfBits(1)).toBe(0x3c00)
    expect(toHalfBits(-0)).toBe(0x8000)
    expect(toHalfBits(65504)).toBe(0x7bff)
    expect(fromHalfBits(0x3555)).toBe(0.333251953125)
    expect(fromHalfBits(0x0001)).toBe(2 ** -24)
    expect(fromHalfBits(0x7c01)).toBeNaN()
  })

  it('rounds to the nearest, ties to even', () => {
    const halfway = fc
      .integer({ min: 0, max: 0x7bfe })
      .map((bits) => (fromHalfBits(bits) + fromHalfBits(bits + 1)) / 2)
    const nearHalfway = halfway.map((value) => value * (1 + Number.EPSILON))
    const any = fc.double({ min: 0, max: 65519.99, noNaN: true })
    fc.assert(
      fc.property(fc.oneof(halfway, nearHalfway, any), (value) => {
        expect(toHalfBits(value)).toBe(nearestHalf(value))
        expect(toHalfBits(-value)).toBe(nearestHalf(value) | 0x8000)
      }),
      { numRuns: 2000 },
    )
  })

  it('becomes infinite from half a step above the largest value on', () => {
    expect(toHalfBits(65519.999)).toBe(0x7bff)
    expect(toHalfBits(65520)).toBe(0x7c00)
    expect(toHalfBits(Number.NEGATIVE_INFINITY)).toBe(0xfc00)
  })
})
