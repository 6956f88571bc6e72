import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { countIn, parseRanges, SequenceSet, showRanges, toRanges } from './sequence-set.ts'

const sequences = fc.array(fc.integer({ min: 1, max: 120 }))

describe('SequenceSet', () => {
  test('behaves like a set of the numbers within its bounds', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 80 }),
        sequences,
        sequences,
        (first, span, added, deleted) => {
          const last = first + span - 1
          const set = new SequenceSet(first, last)
          const model = new Set<number>()
          for (const sequence of added) {
            const isNew = sequence >= first && sequence <= last && !model.has(sequence)
            if (isNew) model.add(sequence)
            expect(set.add(sequence)).toBe(isNew)
          }
          for (const sequence of deleted) expect(set.delete(sequence)).toBe(model.delete(sequence))
          const all = Array.from({ length: span }, (_, index) => first + index)
          expect([...set.present()]).toEqual(all.filter((sequence) => model.has(sequence)))
          expect([...set.absent()]).toEqual(all.filter((sequence) => !model.has(sequence)))
          expect(set.size).toBe(model.size)
        },
      ),
    )
  })

  test('refuses a span that does not fit, with a way out', () => {
    expect(() => new SequenceSet(1, 2 ** 40)).toThrow(/floor/)
  })
})

describe('ranges', () => {
  test('are shown and read back without loss', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 1e6 }), { minLength: 1 }), (numbers) => {
        const ranges = toRanges(numbers.sort((a, b) => a - b))
        expect(parseRanges(showRanges(ranges))).toEqual(ranges)
        expect(countIn(ranges)).toBe(numbers.length)
      }),
    )
  })

  test.each(['', '3-', 'a', '5-3', '1,,2', '-4', '1e3'])('refuse %j', (text) => {
    expect(parseRanges(text)).toBeUndefined()
  })
})
