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

  it('gives no suggestion that would take more comparisons than it may', () => {
    let taken = 0
    function* names() {
      for (let index = 0; index < 5_000; index++) {
        taken++
        yield String(index).padStart(10, '_')
      }
    }
    expect(nearestName('_'.repeat(10), names(), 1_000)).toBeUndefined()
    expect(taken).toBe(11) // 10 × 10 letters each
    taken = 0
    expect(nearestName('_'.repeat(40), names(), 1_000)).toBeUndefined()
    expect(taken).toBe(5_000) // each too short: a look at its length
    expect(nearestName('______1O04', names())).toBe('______1004')
  })

  it('compares no more than the first letters of very long names', () => {
    expect(nearestName('a'.repeat(1_000_000), ['b', 'a'.repeat(64)])).toBe('a'.repeat(64))
  })
})
