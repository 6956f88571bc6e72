import { expect, test } from 'vitest'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { refuseDoubled, type StoredRecord } from './outcomes.ts'

const result = (sequence: number, token: string, kind: string): StoredRecord => ({
  subject: `results.m.${token}`,
  sequence,
  storedAt: 0,
  headers: new Map([[HEADERS.outcome.toLowerCase(), kind]]),
  body: new Uint8Array(),
})

test('one outcome for each event is as it should be', () => {
  refuseDoubled([result(1, 'a', 'prediction'), result(2, 'b', 'dead-letter')], false)
})

test.each([
  ['prediction', 'prediction', false],
  ['dead-letter', 'prediction', false],
  ['prediction', 'dead-letter', true],
  ['prediction', 'prediction', true],
])('a %s and a %s of one event are refused', (one, other, hasReplays) => {
  const results = [result(1, 'a', one), result(2, 'b', 'prediction'), result(3, 'a', other)]
  expect(() => refuseDoubled(results, hasReplays)).toThrow(
    `an event has two outcomes: results.m.a holds a ${one} at 1 and a ${other} at 3`,
  )
})

test('a replay may follow a failure, as often as it fails', () => {
  const kinds = ['dead-letter', 'dead-letter', 'prediction']
  refuseDoubled(
    kinds.map((kind, index) => result(index, 'a', kind)),
    true,
  )
})
