import { describe, expect, test } from 'vitest'
import { decodeEntry, untilOf } from './request-entry.ts'

const ENTRY = { attempt: 2, body: 'b'.repeat(22), by: 'me', until: 1_700_000_000_000, sequence: 7 }

function decoded(entry: unknown) {
  return decodeEntry(Buffer.from(JSON.stringify(entry)))
}

describe('the entry of a keyed request', () => {
  test('is read back, with a position and without', () => {
    const { sequence: _none, ...running } = ENTRY
    expect(decoded({ v: 1, ...ENTRY })).toEqual(ENTRY)
    expect(decoded({ v: 1, ...running })).toEqual(running)
  })

  test.each([
    ['empty', ''],
    ['no JSON', '{'],
    ['no object', 'null'],
    ['no attempt', JSON.stringify({ ...ENTRY, attempt: 0 })],
    ['no digest', JSON.stringify({ ...ENTRY, body: 'short' })],
    ['nobody', JSON.stringify({ ...ENTRY, by: 1 })],
    ['no time', JSON.stringify({ ...ENTRY, until: 'later' })],
  ])('is none where there is %s in it', (_what, text) =>
    expect(decodeEntry(Buffer.from(text))).toBeUndefined(),
  )

  test('is of use until a minute after the deadline, also one that has passed', () => {
    expect(untilOf(10_000, 1, 5_000)).toBe(70_000)
    expect(untilOf(1_000, 1, 5_000)).toBe(65_000)
    expect(untilOf(undefined, 7_000, 5_000)).toBe(12_000)
  })
})
