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
const unnamed = fc.constantFrom<LedgerOutcome>('predicted', 'purged')
const token = fc.stringMatching(/^[A-Za-z0-9_-]{22}$/)
const digest = fc.oneof(fc.constantFrom(0, 0xffff_ffff), fc.integer({ min: 0, max: 0xffff_ffff }))
const entry: fc.Arbitrary<LedgerEntry> = fc.oneof(
  fc.record({ sequence, outcome: fc.constant('predicted' as const) }),
  fc.record({ sequence, outcome, token }),
  fc.record({ sequence, outcome: unnamed }),
  fc.record({ sequence, outcome: fc.constant('predicted' as const), digest }),
  fc.record({ sequence, outcome, token, digest }),
  fc.record({ sequence, outcome, token, digest, letterDigest: digest }),
)
const text = fc.string({ unit: 'grapheme', maxLength: 12 })

/** What a record says, without order and repeats. */
function meaning(entries: readonly LedgerEntry[]): string[] {
  return [
    ...new Set(
      entries.map((entry) =>
        [entry.sequence, entry.outcome, entry.token, entry.digest, entry.letterDigest].join(' '),
      ),
    ),
  ].sort()
}

function withDigests(predicted: string, digests: string): string {
  return JSON.stringify({ v: 1, stream: 'F', epoch: 'e', by: 'w', predicted, digests })
}

function withOther(entry: string): string {
  return `{"v":1,"stream":"F","epoch":"e","by":"w","other":[${entry}]}`
}

function lengthOf(entries: readonly LedgerEntry[]): number {
  return encodeLedgerRecord({ stream: 'FEATURES', epoch: 'e', by: 'w', entries }).length
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

  it('packs the digests of plain predictions in the order of their ranges', () => {
    const bytes = encodeLedgerRecord({
      stream: 'FEATURES',
      epoch: 'e',
      by: 'w',
      entries: [
        { sequence: 9, outcome: 'predicted', digest: 0xffff_ffff },
        { sequence: 4, outcome: 'predicted', digest: 2 },
        { sequence: 3, outcome: 'predicted', digest: 1 },
        { sequence: 5, outcome: 'dead-lettered', token: 't', digest: 3, letterDigest: 4 },
        { sequence: 6, outcome: 'retried', token: 'u', digest: 5 },
      ],
    })
    expect(JSON.parse(Buffer.from(bytes).toString())).toEqual({
      v: 1,
      stream: 'FEATURES',
      epoch: 'e',
      by: 'w',
      predicted: '3-4,9',
      digests: Buffer.from('0000000100000002ffffffff', 'hex').toString('base64'),
      other: [
        [5, 'dead-lettered', 't', Buffer.from('0000000300000004', 'hex').toString('base64')],
        [6, 'retried', 'u', Buffer.from('00000005', 'hex').toString('base64')],
      ],
    })
  })

  it('keeps both digests of a sequence that stands twice, and a prediction without one beside others', () => {
    const entries: LedgerEntry[] = [
      { sequence: 3, outcome: 'predicted', digest: 1 },
      { sequence: 3, outcome: 'predicted', digest: 1 },
      { sequence: 3, outcome: 'predicted', digest: 2 },
      { sequence: 4, outcome: 'predicted' },
    ]
    const bytes = encodeLedgerRecord({ stream: 'F', epoch: 'e', by: 'w', entries })
    expect(JSON.parse(Buffer.from(bytes).toString())).toMatchObject({ predicted: '3' })
    expect(decodeLedgerRecord(bytes).entries).toEqual([entries[0], entries[2], entries[3]])
  })

  it('is read as before where nobody wrote digests', () => {
    const bytes = '{"v":1,"stream":"F","epoch":"e","by":"w","predicted":"3-4","other":[[5,"retried","t"]]}'
    expect(decodeLedgerRecord(Buffer.from(bytes)).entries).toEqual([
      { sequence: 3, outcome: 'predicted' },
      { sequence: 4, outcome: 'predicted' },
      { sequence: 5, outcome: 'retried', token: 't' },
    ])
  })

  it('takes at most 6 bytes an event for digests, from 24 events on', () => {
    const some = fc.array(fc.record({ sequence, outcome: fc.constant('predicted' as const), digest }), {
      minLength: 24,
      maxLength: 300,
    })
    fc.assert(
      fc.property(some, (drawn) => {
        const entries = [...new Map(drawn.map((each) => [each.sequence, each])).values()]
        fc.pre(entries.length >= 24)
        const bare = entries.map(({ sequence, outcome }) => ({ sequence, outcome }))
        expect(lengthOf(entries) - lengthOf(bare)).toBeLessThanOrEqual(6 * entries.length)
      }),
    )
  })

  it.each([-1, 2 ** 32, 1.5, Number.NaN])('is not written with a digest of %s', (digest) =>
    expect(() => lengthOf([{ sequence: 1, outcome: 'predicted', digest }])).toThrow(),
  )

  it('is not written with the digest of a dead letter alone', () =>
    expect(() => lengthOf([{ sequence: 1, outcome: 'dead-lettered', letterDigest: 1 }])).toThrow(
      'entry 1 has the digest of a dead letter alone',
    ))

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
    ['fewer digests than predictions', withDigests('3-4', 'AAAAAQ==')],
    ['more digests than predictions', withDigests('3', 'AAAAAQAAAAI=')],
    ['digests without predictions', '{"v":1,"stream":"F","epoch":"e","by":"w","digests":"AAAAAQ=="}'],
    ['half a digest', withDigests('3', 'AAAA')],
    ['digests that are no base64', withDigests('3', 'AAAA!Q==')],
    ['digests of another alphabet', withDigests('3', '_____w==')],
    ['digests that are no text', '{"v":1,"stream":"F","epoch":"e","by":"w","predicted":"3","digests":[1]}'],
    ['an empty digest of an entry', withOther('[5,"retried","t",""]')],
    ['three digests of an entry', withOther('[5,"retried","t","AAAAAQAAAAIAAAAD"]')],
    ['half a digest of an entry', withOther('[5,"retried","t","AAAA"]')],
    ['a digest of an entry that is no text', withOther('[5,"retried","t",7]')],
    ['an entry that is none', '{"v":1,"stream":"F","epoch":"e","by":"w","other":[5]}'],
    ['an entry without a token', '{"v":1,"stream":"F","epoch":"e","by":"w","other":[[5,"retried"]]}'],
    ['a retry without a token', withOther('[5,"retried",""]')],
    ['a dead letter without a token', withOther('[5,"dead-lettered","","AAAAAQAAAAI="]')],
    ['an outcome that is none', withOther('[5,"lost","t"]')],
    ['an outcome that objects have', withOther('[5,"constructor","t"]')],
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
