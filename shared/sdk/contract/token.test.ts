import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { eventToken, isToken, payloadDigest } from './token.ts'

/** Neither a model nor a CloudEvents source (a URI reference) holds a line break; an id may. */
const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ' '))
const identity = fc.tuple(line, line, fc.string({ unit: 'grapheme' }))

describe('eventToken', () => {
  it('is the one every other implementation of the contract computes', () => {
    // printf 'flight-delay\n/airport/DTW\n42' | sha256sum | cut -c1-32 | xxd -r -p | base64
    expect(eventToken('flight-delay', '/airport/DTW', '42')).toBe('GJgIAspJNGpZjsjU0c1KLQ')
  })

  it('has 22 characters of base64url whatever the names are', () => {
    fc.assert(
      fc.property(identity, (names) => {
        expect(eventToken(...names)).toMatch(/^[A-Za-z0-9_-]{22}$/)
        expect(isToken(eventToken(...names))).toBe(true)
      }),
    )
  })

  it('differs wherever model, source or id differ', () => {
    fc.assert(
      fc.property(identity, identity, (one, other) => {
        fc.pre(JSON.stringify(one) !== JSON.stringify(other))
        expect(eventToken(...one)).not.toBe(eventToken(...other))
      }),
    )
  })

  it('tells apart names that read the same when written one after the other', () => {
    const tokens = [
      eventToken('ab', 'c', 'd'),
      eventToken('a', 'bc', 'd'),
      eventToken('a', 'b', 'cd'),
      eventToken('abc', '', 'd'),
      eventToken('', 'abc', 'd'),
      eventToken('a', 'b', 'c\nd'),
    ]
    expect(new Set(tokens).size).toBe(tokens.length)
  })
})

describe('isToken', () => {
  it.each(['', 'short', 'A'.repeat(21), 'A'.repeat(23), `${'A'.repeat(21)}+`, `${'A'.repeat(22)}\n`])(
    'refuses %j',
    (text) => expect(isToken(text)).toBe(false),
  )
})

describe('payloadDigest', () => {
  it('is SHA-256 of the bytes, shortened', () => {
    expect(payloadDigest(new Uint8Array())).toBe('47DEQpj8HBSa-_TImW-5JA')
  })

  it('differs where one byte differs', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (body, at, by) => {
          const other = Uint8Array.from(body)
          const index = at % body.length
          other[index] = (body[index] as number) ^ by
          expect(payloadDigest(other)).not.toBe(payloadDigest(body))
        },
      ),
    )
  })
})
