import { describe, expect, it } from 'vitest'
import { lane, moment, portNumber, wholeNumber } from './option-values.ts'
import { showBytes, showDuration, showShare } from './quantities.ts'
import { alignColumns } from './terminal.ts'

describe('option values', () => {
  it('takes whole numbers from 1, ports and lanes, and refuses the rest', () => {
    expect([wholeNumber('1'), wholeNumber('999'), portNumber('65535'), lane('low')]).toEqual([
      1,
      999,
      65_535,
      'low',
    ])
    for (const text of ['0', '-1', '1.5', '1e3', '', 'x', '9999999999'])
      expect(() => wholeNumber(text)).toThrow()
    for (const text of ['0', '65536', 'x']) expect(() => portNumber(text)).toThrow()
    expect(() => lane('urgent')).toThrow(/high, normal, low/)
  })

  it('takes a moment as a time or as how long ago', () => {
    const now = Date.parse('2026-01-02T00:00:00Z')
    expect(moment('2h', now).toISOString()).toBe('2026-01-01T22:00:00.000Z')
    expect(moment('1d', now).toISOString()).toBe('2026-01-01T00:00:00.000Z')
    expect(moment('2026-01-01T05:00:00+01:00', now).toISOString()).toBe('2026-01-01T04:00:00.000Z')
    for (const text of ['2', 'yesterday', '2w', '2026-13-01', '']) expect(() => moment(text, now)).toThrow()
  })
})

describe('quantities', () => {
  it('are shown for people', () => {
    expect([showBytes(0), showBytes(1023), showBytes(1536), showBytes(20 * 1024 ** 3)]).toEqual([
      '0 B',
      '1023 B',
      '1.5 KiB',
      '20 GiB',
    ])
    expect([showDuration(850), showDuration(2_500), showDuration(180_000), showDuration(86_400_000)]).toEqual(
      ['850 ms', '2.5 s', '3 min', '24.0 h'],
    )
    expect([showShare(0), showShare(0.004), showShare(0.5), showShare(1)]).toEqual([
      '0 %',
      '0.4 %',
      '50 %',
      '100 %',
    ])
  })
})

describe('alignColumns', () => {
  it('pads every column but the last', () => {
    expect(alignColumns([['A', 'LONG', 'C'], ['wide', 'b', 'c'], ['x']])).toEqual([
      'A     LONG  C',
      'wide  b     c',
      'x',
    ])
  })
})
