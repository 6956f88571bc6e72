import { describe, expect, it } from 'vitest'
import { MOMENT_FORM } from '../../shared/runtime/moment.ts'
import { lane, moment, portNumber, wholeNumber } from './option-values.ts'

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

  it('takes a moment, and says how one is written', () => {
    expect(moment('2h', Date.parse('2026-01-02T00:00:00Z')).toISOString()).toBe('2026-01-01T22:00:00.000Z')
    expect(() => moment('yesterday')).toThrow(MOMENT_FORM)
  })
})
