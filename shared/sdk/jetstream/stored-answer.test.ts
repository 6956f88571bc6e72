import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readStoredAnswer } from './stored-answer.ts'

const read = (text: string): number => readStoredAnswer(Buffer.from(text))

it.each([
  ['{"stream":"RESULTS","seq":1}', 1],
  ['{"stream":"RESULTS","seq":1234567890}', 1_234_567_890],
  ['{"stream":"RESULTS", "seq":7}', 7],
  ['{"stream":"a-b_c","seq":999999999999999}', 999_999_999_999_999],
])('the sequence of %s is read', (answer, sequence) => {
  expect(read(answer)).toBe(sequence)
})

it.each([
  ['nothing', ''],
  ['a duplicate', '{"stream":"RESULTS","seq":3,"duplicate": true}'],
  ['one of a domain', '{"stream":"RESULTS","domain":"hub","seq":3}'],
  ['a batch', '{"stream":"RESULTS","seq":3,"batch":"x","count":2}'],
  ['a refusal', '{"error":{"code":400,"err_code":10071,"description":"x"},"stream":"RESULTS","seq":0}'],
  ['a refusal that ends like an answer', '{"error":{"code":400},"x":"{","seq":3}'],
  ['a name with quotes', '{"stream":"x\\","error":{"code":1},"seq":3}'],
  ['two fields in one name', '{"stream":"a","error":"b","seq":3}'],
  ['another spacing', '{"stream":"RESULTS",  "seq":3}'],
  ['no name', '{"stream":"","seq":3}'],
  ['another order', '{"seq":3,"stream":"RESULTS"}'],
  ['no number', '{"stream":"RESULTS","seq":}'],
  ['no sequence', '{"stream":"RESULTS","seq":0}'],
  ['a number with a zero before', '{"stream":"RESULTS","seq":03}'],
  ['a fraction', '{"stream":"RESULTS","seq":1.5}'],
  ['below zero', '{"stream":"RESULTS","seq":-5}'],
  ['beyond the safe numbers', '{"stream":"RESULTS","seq":9999999999999999}'],
  ['no end', '{"stream":"RESULTS","seq":3'],
  ['its end alone', '","seq":3}'],
])('%s is not read', (_what, answer) => {
  expect(read(answer)).toBe(0)
})

it('what is read is what JSON says', () => {
  const pieces = fc.constantFrom(
    '{"stream":"',
    'RESULTS',
    '",',
    '"seq":',
    '17',
    '0',
    '}',
    '"',
    '\\',
    ',',
    ' ',
    'é',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 9 }), (parts) => {
      const sequence = read(parts.join(''))
      if (sequence === 0) return
      const parsed = JSON.parse(parts.join('')) as Record<string, unknown>
      expect(parsed.seq).toBe(sequence)
      expect(Object.keys(parsed)).toEqual(['stream', 'seq'])
    }),
    { numRuns: 2_000 },
  )
})
