import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PlainPredictions } from './plain-predictions.ts'

const sequence = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 4_090, max: 4_100 }))

describe('plain predictions', () => {
  test('are unseen exactly where no stored prediction has the digest that was entered', () => {
    const pair = fc.tuple(sequence, fc.integer({ min: 0, max: 3 }))
    fc.assert(
      fc.property(fc.array(pair), fc.array(pair), (entered, stored) => {
        const predictions = new PlainPredictions()
        for (const [of, digest] of entered) predictions.enter(of, digest, false)
        for (const [of, digest] of stored) predictions.see(of, digest)
        const isSeen = (of: number): boolean =>
          entered
            .filter(([one]) => one === of)
            .every(([, digest]) => stored.some(([one, has]) => one === of && has === digest))
        const all = [...new Set(entered.map(([of]) => of))].sort((a, b) => a - b)
        expect([...predictions.unseen()]).toEqual(all.filter((of) => !isSeen(of)))
      }),
    )
  })

  test('say what a stored prediction is', () => {
    const predictions = new PlainPredictions()
    predictions.enter(1, 0, false)
    predictions.enter(2, undefined, false)
    expect([predictions.see(1, 9), predictions.see(1, 0), predictions.see(1, 0)]).toEqual([
      'other-digest',
      'as-recorded',
      'second',
    ])
    expect([predictions.see(2, 9), predictions.see(2, 9), predictions.see(3, 0)]).toEqual([
      'as-recorded',
      'second',
      'unrecorded',
    ])
    expect([predictions.find(1), predictions.find(2), predictions.find(3)]).toEqual([
      { digests: [0] },
      { digests: [] },
      undefined,
    ])
    expect(predictions.withoutDigest).toBe(1)
  })

  test('keep every digest where records contradict each other: each must be there', () => {
    const predictions = new PlainPredictions()
    for (const digest of [5, 6, 5]) predictions.enter(7, digest, false)
    expect(predictions.find(7)).toEqual({ digests: [5, 6] })
    expect([predictions.see(7, 5), [...predictions.unseen()]]).toEqual(['as-recorded', [7]])
    expect([predictions.see(7, 6), [...predictions.unseen()]]).toEqual(['as-recorded', []])
  })

  test('ask nothing of what was entered late, nor of what is excused', () => {
    const predictions = new PlainPredictions()
    predictions.enter(1, 1, false)
    predictions.enter(2, 2, false)
    predictions.enter(3, 3, true)
    predictions.enter(1, 1, true)
    expect([...predictions.unseen()]).toEqual([1, 2])
    expect([1, 1, 3, 4].map((of) => predictions.excuse(of))).toEqual([true, false, true, false])
    expect([...predictions.unseen()]).toEqual([2])
  })
})
