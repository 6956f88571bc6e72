import { describe, expect, it } from 'vitest'
import { nearestName } from './nearest-name.ts'

describe('nearestName', () => {
  it.each([
    ['distanse', 'distance'],
    ['Distance', 'distance'],
    ['dist', undefined],
    ['orgin', 'origin'],
    ['', undefined],
    ['x', 'y'],
  ])('finds for %o the name %o', (name, expected) => {
    expect(nearestName(name, ['origin', 'distance', 'y'])).toBe(expected)
  })

  it('compares no more than the first letters of very long names', () => {
    expect(nearestName('a'.repeat(1_000_000), ['b', 'a'.repeat(64)])).toBe('a'.repeat(64))
  })
})
