import { describe, expect, it } from 'vitest'
import { cutToWidth, printable, printableJson, widthOf } from './printable.ts'

/** Every character a terminal acts on or hides, one by one. */
const HOSTILE = [
  ...Array.from({ length: 0x20 }, (_c0, code) => code),
  ...Array.from({ length: 0x21 }, (_c1, code) => 0x7f + code),
  ...[0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069, 0x200e, 0x200f, 0x061c],
  ...[0x2028, 0x2029, 0x200b, 0x200c, 0x200d, 0x2060, 0xfeff, 0x00ad, 0x3164, 0x115f],
]

describe('printable', () => {
  it('shows each character that a terminal would act on or hide as its escape', () => {
    for (const code of HOSTILE) {
      const shown = printable(`a${String.fromCharCode(code)}b`)
      expect(shown).toBe(`a\\u${code.toString(16).padStart(4, '0')}b`)
      expect(printable(shown)).toBe(shown)
    }
    expect(printable('\u{e0041}')).toBe('\\udb40\\udc41')
    expect(printable('\ud800!')).toBe('\\ud800!')
  })

  it('leaves what people write as it is', () => {
    const text = 'Zürich – 東京, ñandú, Ελλάδα, עברית, 😀, e\u0301'
    expect(printable(text)).toBe(text)
  })

  it('makes JSON safe without changing its value, and leaves the ends of its lines', () => {
    const value = { name: String.fromCharCode(...HOSTILE, 0xdb40, 0xdc41, 0xd800) }
    const line = printableJson(`${JSON.stringify(value)}\n`)
    expect(line).toMatch(/^[ -~]*\n$/)
    expect(JSON.parse(line)).toEqual(value)
  })
})

describe('the width of a text', () => {
  it('is counted in columns, and a text is cut by it', () => {
    expect([widthOf('abc'), widthOf('東京'), widthOf('e\u0301'), widthOf('😀')]).toEqual([3, 4, 1, 2])
    expect([cutToWidth('abc', 2), cutToWidth('東京', 3), cutToWidth('e\u0301x', 1)]).toEqual([
      'ab',
      '東',
      'e\u0301',
    ])
  })
})
