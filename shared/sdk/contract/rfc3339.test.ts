import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readRfc3339 } from './rfc3339.ts'

describe('readRfc3339', () => {
  it('reads what Date writes', () => {
    const date = fc.date({
      min: new Date(-62167219200000),
      max: new Date(253402300799999),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(date, (at) => {
        expect(readRfc3339(at.toISOString())).toBe(at.getTime())
      }),
    )
  })

  it.each([
    ['2028-02-29T00:00:00Z', Date.UTC(2028, 1, 29)],
    ['2026-01-31t14:00:00.123456789+02:00', Date.UTC(2026, 0, 31, 12, 0, 0, 123)],
    ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
    ['2017-01-01T00:59:60.5+01:00', Date.UTC(2017, 0, 1, 0, 0, 0, 500)],
  ])('reads %s', (text, at) => {
    expect(readRfc3339(text)).toBe(at)
  })

  it.each([
    ...['2027-02-30T00:00:00Z', '2027-02-29T00:00:00Z', '1900-02-29T00:00:00Z', '2026-04-31T00:00:00Z'],
    ...['2026-01-00T00:00:00Z', '2026-00-01T00:00:00Z', '2026-13-01T00:00:00Z', '2026-01-31T24:00:00Z'],
    ...['2026-01-31T12:60:00Z', '2026-01-31T12:00:61Z', '2026-01-31T12:00:00+24:00', '2026-01-31T12:00:00'],
    ...['2026-01-31 12:00:00Z', '2026-01-31', '1767225600', '', '2026-01-31T12:00:00+0530'],
  ])('takes %j for none', (text) => {
    expect(readRfc3339(text)).toBeUndefined()
  })
})
