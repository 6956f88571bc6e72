import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PeltonError } from '../errors.ts'
import { type JsonValue, MAX_JSON_DEPTH, numberToJson, parseJson, showJson } from './json.ts'

const parse = (text: string): JsonValue => parseJson(Buffer.from(text))

function refusal(text: string | Uint8Array): PeltonError {
  try {
    parseJson(typeof text === 'string' ? Buffer.from(text) : text)
  } catch (error) {
    if (error instanceof PeltonError) return error
    throw error
  }
  throw new Error('this text was not refused')
}

describe('strict JSON', () => {
  it('reads what JSON.parse reads, also where colons in strings take it the slow way', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), fc.boolean(), (inner, isSlow) => {
        const text = isSlow ? `[":\\u003a\\"", ${inner} ]` : `[{":::":":"}, ${inner}]`
        fc.pre(!text.includes('__proto__') && !/\d{16}/.test(text))
        expect(parse(text)).toEqual(JSON.parse(text))
      }),
      { numRuns: 500 },
    )
  })

  it('keeps integers beyond 2^53 exact and leaves other numbers numbers', () => {
    expect(parse('[9007199254740991,9007199254740992,9007199254740993]')).toEqual([
      9007199254740991,
      9007199254740992n,
      9007199254740993n,
    ])
    expect(parse('{"a":-12345678901234567890}')).toEqual({ a: -12345678901234567890n })
    expect(parse('[0.12345678901234567,1e20,12345678901234567890.5,-0,9007199254740993]')).toEqual([
      Number('0.12345678901234567'),
      1e20,
      Number('12345678901234567890.5'),
      -0,
      9007199254740993n,
    ])
    expect(parse('18446744073709551615')).toBe(18446744073709551615n)
  })

  it('gives any integer back exactly', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), (integer) => {
        expect(BigInt(parse(` {"a" :[ ${integer} , 1]}`)?.['a' as never]?.[0] ?? 0n)).toBe(integer)
      }),
    )
  })

  it.each([
    ['{"a":1,"a":2}', 'twice'],
    ['{"a":1,"a":1}', 'twice'],
    ['{"x":{"a":1,"\\u0061":2}}', 'twice'],
    // As many colons in the surviving strings as the lost member had.
    ['{"a":"\\u003a","a":"b"}', 'twice'],
    ['{"a":":","a":1}', 'twice'],
    ['{"a":":","b":2,"a":"::"}', 'twice'],
    ['{":":1,":":"x"}', 'twice'],
    ['{"a":1,"a":"\\u003a\\u003a"}', 'twice'],
    ['{"__proto__":{"polluted":1}}', 'not allowed'],
    ['{"\\u005f_proto__":1}', 'not allowed'],
    ['{"a":{"__proto__":1},"a":2}', 'not allowed'],
    ['[1e999]', 'too large'],
    ['{"a":-1e400}', 'too large'],
    [`[${'9'.repeat(400)}]`, 'too large'],
    ['\ufeff{}', 'byte order mark'],
    ['', 'not valid JSON'],
    ['{"a":NaN}', 'not valid JSON'],
    ['[1,]', 'not valid JSON'],
    ['[01]', 'not valid JSON'],
  ])('refuses %s', (text, expected) => {
    const error = refusal(text)
    expect(error.code).toBe('malformed')
    expect(error.message).toContain(expected)
    expect(error.details.field).toBe('data')
    expect(error.details.remedy).toMatch(/\S/)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it('finds every repeated key, whatever the strings around it hold', () => {
    const string = fc.string({ unit: fc.constantFrom(':', '\\u003a', '\\u003A', '\\"', 'a', '{') })
    const members = fc.array(fc.tuple(string, string), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(members, (pairs) => {
        const text = `{${pairs.map(([key, value]) => `"${key}":"${value}"`).join(',')}}`
        const keys = new Set(pairs.map(([key]) => JSON.parse(`"${key}"`)))
        if (keys.size === pairs.length) expect(parse(text)).toEqual(JSON.parse(text))
        else expect(refusal(text).message).toContain('twice')
      }),
      { numRuns: 1000 },
    )
  })

  it('refuses invalid UTF-8', () => {
    expect(refusal(Uint8Array.of(0x22, 0xff, 0x22)).message).toContain('UTF-8')
    expect(refusal(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)).message).toContain('UTF-8')
  })

  it('allows 64 levels and refuses more without overflowing the stack', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    expect(() => parse(nested(MAX_JSON_DEPTH))).not.toThrow()
    expect(refusal(nested(MAX_JSON_DEPTH + 1)).message).toContain('nested too deep')
    expect(refusal(nested(500_000)).message).toContain('nested too deep')
    expect(refusal('['.repeat(1_000_000)).code).toBe('malformed')
    expect(refusal('{"a":'.repeat(200_000)).code).toBe('malformed')
    // The deep member is the one that JSON.parse drops.
    expect(refusal(`{"a":${nested(1000)},"a":1}`).code).toBe('malformed')
  })

  it('writes numbers that read back the same', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(parse(numberToJson(value))).toBe(value)
      }),
    )
    expect(numberToJson(-0)).toBe('-0.0')
    expect(parse(numberToJson(2 ** 60))).toBe(2 ** 60)
    expect(numberToJson(Number.NaN)).toBe('"NaN"')
    expect(numberToJson(Number.NEGATIVE_INFINITY)).toBe('"-Infinity"')
  })

  it('shows values in one short line', () => {
    expect(showJson([1, 2])).toBe('an array of 2')
    expect(showJson({ a: 1 })).toBe('an object of 1')
    expect(showJson(undefined)).toBe('nothing')
    expect(showJson(12345678901234567890n)).toBe('12345678901234567890')
    expect(showJson('x\n'.repeat(10_000)).length).toBeLessThanOrEqual(80)
  })
})
