import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHeaderBlock } from '../jetstream/stored-message.ts'
import {
  decodeAttribute,
  encodeAttribute,
  encodeHeaderBlock,
  isHeaderName,
  readHeader,
  sanitizeHeaderValue,
} from './headers.ts'

const codeUnit = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit))
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: codeUnit }),
)
const nastyText = fc.string({
  unit: fc.constantFrom(
    '\r',
    '\n',
    '\0',
    '\t',
    '\u2028',
    '\u0085',
    ' ',
    'a',
    '"',
    '%',
    '🛫',
    '\ud83d',
    '\udeeb',
  ),
})

describe('encodeAttribute', () => {
  it('writes printable ASCII without spaces, quotes and bare percent signs, and decodes back', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const encoded = encodeAttribute(text)
        expect(encoded).toMatch(/^(?:[!#$&-~]|%[0-9A-F]{2})*$/)
        expect(decodeAttribute(encoded)).toBe(text.toWellFormed())
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    ['Euro € 😀', 'Euro%20%E2%82%AC%20%F0%9F%98%80'],
    ['"quoted"', '%22quoted%22'],
    ['100%', '100%25'],
    ['a\r\nb', 'a%0D%0Ab'],
  ])('writes %j as %s', (text, encoded) => expect(encodeAttribute(text)).toBe(encoded))
})

describe('decodeAttribute', () => {
  it('removes the quotes some senders put around a value', () => {
    expect(decodeAttribute('"a \\"b\\" c"')).toBe('a "b" c')
    expect(decodeAttribute('"')).toBe('"')
  })

  it.each(['%', '100%', '%4', '%zz', '%FF', '%C3%28', '%ED%A0%80'])('has no text for %j', (value) => {
    expect(decodeAttribute(value)).toBeUndefined()
  })

  it('decodes once', () => expect(decodeAttribute('%2541')).toBe('%41'))
})

describe('sanitizeHeaderValue', () => {
  it('leaves one line of well-formed text within its length', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, nastyText), fc.integer({ min: 1, max: 20 }), (text, maxLength) => {
        const value = sanitizeHeaderValue(text, maxLength)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is the point
        expect(value).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/)
        expect(value.length).toBeLessThanOrEqual(maxLength)
        expect(value.isWellFormed()).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it('keeps what is harmless', () => {
    expect(sanitizeHeaderValue('Zürich → 東京 "100%"')).toBe('Zürich → 東京 "100%"')
  })

  it('shows that something was cut', () => expect(sanitizeHeaderValue('abcdef', 4)).toBe('abc…'))

  it('cannot be made to end its header and begin another', () => {
    expect(sanitizeHeaderValue('x\r\nNats-Rollup: all\r\n\r\n')).toBe('x Nats-Rollup: all')
  })
})

describe('encodeHeaderBlock', () => {
  const headerName = fc.stringMatching(/^[!-9;-~]{1,20}$/)
  const value = nastyText.map((text) => sanitizeHeaderValue(text))

  it('is read back by parseHeaderBlock, names in lower case, the first of each', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(headerName, value)), (entries) => {
        const expected = new Map<string, string>()
        for (const [name, text] of entries) {
          if (!expected.has(name.toLowerCase())) expected.set(name.toLowerCase(), text)
        }
        expect(new Map(parseHeaderBlock(encodeHeaderBlock(entries)))).toEqual(expected)
      }),
    )
  })

  it('is the bytes of the protocol', () => {
    const block = encodeHeaderBlock([
      ['A', '1'],
      ['B', 'é'],
    ])
    expect(Buffer.from(block).toString('utf8')).toBe('NATS/1.0\r\nA: 1\r\nB: é\r\n\r\n')
  })
})

describe('parseHeaderBlock', () => {
  it('passes over status text, lines without a name, and an empty block', () => {
    const block = Buffer.from('NATS/1.0 503 No Responders\r\n: nameless\r\nno colon\r\na:b:c\r\n\r\n')
    expect([...parseHeaderBlock(block)]).toEqual([['a', 'b:c']])
    expect(parseHeaderBlock(new Uint8Array()).size).toBe(0)
  })
})

describe('readHeader', () => {
  it('reads a name in any case', () => {
    const headers = parseHeaderBlock(encodeHeaderBlock([['CE-Id', '1']]))
    expect(readHeader(headers, 'ce-ID')).toBe('1')
    expect(readHeader(headers, 'ce-source')).toBeUndefined()
  })
})

describe('isHeaderName', () => {
  it.each(['ce-id', 'X_1', '$a'])('allows %s', (name) => expect(isHeaderName(name)).toBe(true))
  it.each(['', 'a b', 'a:b', 'a\nb', 'a\r\nb', 'né', 'a\0'])('refuses %j', (name) => {
    expect(isHeaderName(name)).toBe(false)
  })
})
