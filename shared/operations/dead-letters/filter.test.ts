import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeAttribute } from '../../sdk/contract/headers.ts'
import { matchesFilter } from './filter.ts'

const entry = {
  model: 'm',
  storedAt: '2026-01-02T00:00:00.000Z',
  headers: new Map([
    ['x-dead-letter-reason', 'shed'],
    ['x-dead-letter-description', 'It could not be Predicted in time'],
    ['ce-subject', 'a%20b'],
    ['ce-id', 'i'],
    ['pelton-history', 'first; second'],
  ]),
}

describe('a filter of dead letters', () => {
  it.each([
    [{}, true],
    [{ model: 'm', reason: 'shed', id: 'i', subject: 'a b' }, true],
    [{ model: 'M' }, false],
    [{ reason: 'timed-out' }, false],
    [{ key: 'k' }, false],
    [{ subject: 'a%20b' }, false],
    [{ text: 'predicted IN' }, true],
    [{ text: 'missing' }, false],
    [{ since: '2026-01-02T00:00:00.000Z' }, true],
    [{ since: '2026-01-02T00:00:00.001Z' }, false],
    [{ until: '2026-01-02T00:00:00.000Z' }, false],
    [{ until: '2026-01-02T00:00:00.001Z' }, true],
    [{ maxFailures: 2 }, true],
    [{ maxFailures: 1 }, false],
  ])('%j: %s', (filter, expected) => expect(matchesFilter(filter, entry)).toBe(expected))

  it.each([
    ['2026-01-01T00:00:00Z', { since: '2026-01-01T12:00:00Z' }, false],
    ['2026-01-01T00:00:00Z', { until: '2026-01-01T12:00:00Z' }, true],
    ['some day', { until: '2026-01-01T12:00:00Z' }, false],
    ['some day', { since: '2026-01-01T12:00:00Z' }, true],
  ])('goes by when it failed, where it says so: %s, %j: %s', (failedAt, filter, expected) => {
    const headers = new Map([...entry.headers, ['x-failed-at', failedAt]])
    expect(matchesFilter(filter, { ...entry, headers })).toBe(expected)
  })

  it('finds any subject as it was before it was encoded, and no other', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        const subject = text.toWellFormed()
        const headers = new Map([['ce-subject', encodeAttribute(subject)]])
        expect(matchesFilter({ subject }, { ...entry, headers })).toBe(true)
        expect(matchesFilter({ subject: `${subject}x` }, { ...entry, headers })).toBe(false)
      }),
    )
  })
})
