import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom } from '../../../test/kit/random.ts'
import { Throttle, throttleShare } from './throttle.ts'

describe('throttleShare', () => {
  it('is a share, no less where less was taken, and no less where more was asked', () => {
    const counts = fc.integer({ min: 0, max: 1e6 })
    fc.assert(
      fc.property(counts, counts, counts, (one, other, third) => {
        const [taken, more, ended] = [one, other, third].sort((a, b) => a - b) as [number, number, number]
        const share = throttleShare(ended, taken)
        expect(share).toBeGreaterThanOrEqual(0)
        expect(share).toBeLessThan(1)
        expect(throttleShare(ended, more)).toBeLessThanOrEqual(share)
        expect(throttleShare(ended + 1, taken)).toBeGreaterThanOrEqual(share)
      }),
    )
  })

  it('refuses nothing while half of all is taken, nor the first few that fail', () => {
    expect(throttleShare(1_000, 500)).toBe(0)
    expect(throttleShare(5, 0)).toBe(0)
    expect(throttleShare(1_000, 100)).toBeCloseTo(0.79, 2)
  })
})

/** Sends evenly to something that takes what `takes` says. @returns how much was sent, and taken, in the last second */
function sendFor(throttle: Throttle, fromMs: number, seconds: number, takes: (at: number) => boolean) {
  const random = createRandom(1)
  let [sent, taken] = [0, 0]
  for (let at = fromMs; at < fromMs + 1_000 * seconds; at++) {
    if (at === fromMs + 1_000 * (seconds - 1)) [sent, taken] = [0, 0]
    if (random() < throttle.share(at)) {
      throttle.ended(false, at)
      continue
    }
    throttle.letBy(at)
    sent++
    const isTaken = takes(at)
    if (isTaken) taken++
    throttle.ended(isTaken, at)
  }
  return { sent, taken }
}

describe('Throttle', () => {
  it('lets all by while all is taken, and while nothing is known of what is under way', () => {
    const throttle = new Throttle()
    expect(sendFor(throttle, 0, 5, () => true)).toEqual({ sent: 1_000, taken: 1_000 })
    const fresh = new Throttle()
    for (let each = 0; each < 1_000; each++) {
      expect(fresh.share(10)).toBe(0)
      fresh.letBy(10)
    }
  })

  it('sends about twice what is taken of more', () => {
    let takenAt = 0
    const takes = (at: number): boolean => {
      if (at - takenAt < 8) return false
      takenAt = at
      return true
    }
    const { sent, taken } = sendFor(new Throttle(), 0, 20, takes)
    expect(sent).toBeLessThan(3 * taken)
    expect(sent).toBeGreaterThan(1.2 * taken)
  })

  it('still tries once a second where nothing is taken, and is back soon after it is', () => {
    const throttle = new Throttle()
    const { sent } = sendFor(throttle, 0, 30, () => false)
    expect(sent).toBeGreaterThanOrEqual(1)
    expect(sent).toBeLessThan(20)
    expect(sendFor(throttle, 30_000, 20, () => true).sent).toBe(1_000)
  })
})
