import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeLedgerRecord,
  decodeRanges,
  encodeLedgerRecord,
  encodeRanges,
  type LedgerEntry,
  type LedgerOutcome,
} from './ledger.ts'

const sequence = fc.oneof(
  fc.integer({ min: 1, max: 50 }),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 1 }),
)
const outcome = fc.constantFrom<LedgerOutcome>(
  ...([
    'predicted',
    'already-answered',
    'dead-lettered',
    'retried',
    'discarded',
    'replayed',
    'purged',
  ] as const),
)
const entry: fc.Arbitrary<LedgerEntry> = fc.oneof(
  fc.record({ sequence, outcome: fc.constant('predicted' as const) }),
  fc.record({ sequence, outcome, token: fc.stringMatching(/^[A-Za-z0-9_-]{22}$/) }),
  fc.record({ sequence, outcome }),
)
const text = fc.string({ unit: 'grapheme', maxLength: 12 })

/** What a record says, without order and repeats. */
function meaning(entries: readonly LedgerEntry[]): string[] {
  return [
    ...new Set(entries.map(({ sequence, outcome, token }) => `${sequence} ${outcome} ${token ?? ''}`)),
  ].sort()
}

describe('ledger record', () => {
  it('is decoded to what was encoded', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 80 }), text, text, text, (entries, stream, epoch, by) => {
        const record = decodeLedgerRecord(encodeLedgerRecord({ stream, epoch, by, entries }))
        expect(record).toMatchObject({ stream, epoch, by })
        expect(meaning(record.entries)).toEqual(meaning(entries))
      }),
      { numRuns: 300 },
    )
  })

  it('takes ranges for plain predictions and names everything else', () => {
    const bytes = encodeLedgerRecord({
      stream: 'FEATURES',
      epoch: 'e',
      by: 'w',
      entries: [
        { sequence: 5, outcome: 'predicted' },
        { sequence: 3, outcome: 'predicted' },
        { sequence: 4, outcome: 'predicted' },
        { sequence: 6, outcome: 'retried', token: 't' },
      ],
    })
    expect(JSON.parse(Buffer.from(bytes).toString())).toEqual({
      v: 1,
      stream: 'FEATURES',
      epoch: 'e',
      by: 'w',
      predicted: '3-5',
      other: [[6, 'retried', 't']],
    })
  })

  it.each([
    ['nothing', ''],
    ['null', 'null'],
    ['another version', '{"v":2,"stream":"F","epoch":"e","by":"w"}'],
    ['no stream', '{"v":1,"epoch":"e","by":"w"}'],
    ['a range backwards', '{"v":1,"stream":"F","epoch":"e","by":"w","predicted":"5-3"}'],
    ['a range of three', '{"v":1,"stream":"F","epoch":"e","by":"w","predicted":"1-2-3"}'],
    ['an empty range', '{"v":1,"stream":"F","epoch":"e","by":"w","predicted":"1,,2"}'],
    ['a range without end', '{"v":1,"stream":"F","epoch":"e","by":"w","predicted":"1-9007199254740991"}'],
    ['many ranges without end', '{"v":1,"stream":"F","epoch":"e","by":"w","predicted":"1-900000,1-900000"}'],
    ['an entry that is none', '{"v":1,"stream":"F","epoch":"e","by":"w","other":[5]}'],
    ['an entry without a token', '{"v":1,"stream":"F","epoch":"e","by":"w","other":[[5,"retried"]]}'],
    ['an entry without a number', '{"v":1,"stream":"F","epoch":"e","by":"w","other":[["5","retried","t"]]}'],
  ])('is refused when it holds %s', (_what, bytes) => {
    expect(() => decodeLedgerRecord(Buffer.from(bytes))).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    )
  })
})

describe('encodeRanges', () => {
  it.each([
    [[], ''],
    [[7], '7'],
    [[3, 4, 5, 9], '3-5,9'],
    [[9, 3, 5, 4, 4, 9], '3-5,9'],
    [[10, 9, 100], '9-10,100'],
  ])('writes %j as %j', (sequences, ranges) => expect(encodeRanges(sequences)).toBe(ranges))

  it('is reversed by decodeRanges, ascending and without repeats', () => {
    fc.assert(
      fc.property(fc.array(sequence), (sequences) => {
        const expected = [...new Set(sequences)].sort((a, b) => a - b)
        expect(decodeRanges(encodeRanges(sequences))).toEqual(expected)
      }),
    )
  })

  it('never makes two ranges of neighbours', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 })), (sequences) => {
        const ranges = encodeRanges(sequences).split(',').filter(Boolean)
        const bounds = ranges.map((range) => range.split('-').map(Number))
        for (const [index, [first = 0]] of bounds.entries()) {
          if (index > 0) expect(first).toBeGreaterThan((bounds[index - 1]?.at(-1) ?? 0) + 1)
        }
      }),
    )
  })
})
