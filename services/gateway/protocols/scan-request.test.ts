import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { type ScanLimits, scanRequest } from './scan-request.ts'

function scan(text: string | Uint8Array, limits?: ScanLimits) {
  return scanRequest(typeof text === 'string' ? Buffer.from(text) : text, limits)
}

function refusal(text: string | Uint8Array, limits?: ScanLimits): PeltonError {
  try {
    scan(text, limits)
  } catch (thrown) {
    if (thrown instanceof PeltonError) return thrown
  }
  throw new Error('it was taken')
}

/** What `JSON.parse` makes of it; undefined where it is no object. */
function parsed(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes),
    )
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function isTaken(bytes: Uint8Array): boolean {
  try {
    scan(bytes)
    return true
  } catch {
    return false
  }
}

/** JSON as people and libraries write it: with space, and with escapes where none is needed. */
const spaced = fc.constantFrom('', ' ', '\n', '\t', '\r\n  ')
function write(value: unknown, space: string, isEscaped: boolean): string {
  const text = JSON.stringify(value, null, space === '' ? undefined : 1).replaceAll('\n', `\n${space}`)
  if (!isEscaped) return text
  return text.replace(/"(id|parameters)"(?=\s*:)/g, (_key, name: string) => `"${escaped(name)}"`)
}

function escaped(name: string): string {
  return name.replace(/./g, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`)
}

describe('scanRequest', () => {
  test('finds id and parameters as JSON.parse does, whatever stands around them', () => {
    const requests = fc.record(
      {
        id: fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.integer(), fc.constant(null)),
        parameters: fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue()),
        inputs: fc.jsonValue({ maxDepth: 5 }),
        ' id': fc.jsonValue(),
        xy: fc.record({ id: fc.string(), parameters: fc.jsonValue() }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(requests, spaced, fc.boolean(), (request, space, isEscaped) => {
        const text = write(request, space, isEscaped)
        const whole = JSON.parse(text)
        const found = scan(`${space}${text}${space}`)
        expect(found.id).toEqual(typeof whole.id === 'string' ? whole.id : undefined)
        const isObject = Object(whole.parameters) === whole.parameters && !Array.isArray(whole.parameters)
        expect(found.parameters).toEqual(isObject ? whole.parameters : undefined)
      }),
      { numRuns: 500 },
    )
  })

  test('takes exactly what JSON.parse reads as an object, whatever is changed in it', () => {
    const broken = fc
      .tuple(
        fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()),
        fc.array(
          fc.tuple(
            fc.nat(),
            fc.constantFrom(...'{}[]",:\\u0eE+-.1 \n\t\u0000tfn/b\u{1f600}'.split('')),
            fc.boolean(),
          ),
          {
            maxLength: 3,
          },
        ),
      )
      .map(([value, changes]) => {
        let text = JSON.stringify(value)
        for (const [at, put, isCut] of changes) {
          const place = at % (text.length + 1)
          text = text.slice(0, place) + put + text.slice(place + Number(isCut))
        }
        return Buffer.from(text)
      })
    fc.assert(
      fc.property(broken, (bytes) => {
        expect(isTaken(bytes)).toBe(parsed(bytes) !== undefined)
      }),
      { numRuns: 3_000 },
    )
  })

  test('takes exactly what JSON.parse reads as an object, of any characters that JSON has', () => {
    const characters = fc.constantFrom(...'{}[]",:\\u0123456789eE+-. truefalsn'.split(''))
    fc.assert(
      fc.property(fc.string({ unit: characters, maxLength: 30 }), (text) => {
        const bytes = Buffer.from(`{"a":${text}}`)
        expect(isTaken(bytes)).toBe(parsed(bytes) !== undefined)
      }),
      { numRuns: 5_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
        expect(isTaken(bytes)).toBe(parsed(bytes) !== undefined)
      }),
    )
  })

  test('takes numbers and escapes as the grammar has them', () => {
    for (const good of ['0', '-0', '1.5', '1e9', '1E+09', '-0.0e-1', '"\\ud800"', '"\\/\\b\\u00Ff"', '1e999'])
      expect(scan(`{"a":${good}}`)).toEqual({})
    const bad = [
      '01',
      '+1',
      '.5',
      '1.',
      '1e',
      '1e+',
      '-',
      '0x1',
      '"\\x"',
      '"\\u00g0"',
      '"\n"',
      '"\\',
      '"',
      'nul',
    ]
    for (const text of bad) expect(refusal(`{"a":${text}}`).code).toBe('malformed')
  })

  test('takes the last of a member that stands twice, as JSON.parse does: refusing it is the worker`s', () => {
    expect(scan('{"id":"a","parameters":{"x":1},"id":"b","parameters":{"x":2}}')).toEqual({
      id: 'b',
      parameters: { x: 2 },
    })
  })

  test('reads no id that is longer than ids are, and none that is no text', () => {
    expect(scan(`{"id":"${'x'.repeat(2_000)}"}`).id).toBeUndefined()
    expect(scan('{"id":17}').id).toBeUndefined()
  })

  test('builds no parameters beyond 64 KiB', () => {
    const error = refusal(`{"parameters":{"a":"${'x'.repeat(70_000)}"}}`)
    expect(error.code).toBe('too-large')
    expect(error.details.field).toBe('parameters')
  })

  test('gives no prototype through parameters', () => {
    const { parameters } = scan('{"parameters":{"__proto__":{"timeout":1}}}')
    expect(Object.hasOwn(parameters ?? {}, 'timeout')).toBe(false)
  })

  test('counts levels against the limit, of objects and arrays alike', () => {
    const nested = (levels: number) => `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`
    expect(scan(nested(64))).toEqual({})
    expect(refusal(nested(65)).description).toContain('nested too deep at byte')
    expect(scan(nested(5), { maxDepth: 5 })).toEqual({})
    expect(refusal(nested(6), { maxDepth: 5 }).details.value).toBe('more than 5 levels')
    // It would have to end somewhere: neither the stack nor memory is asked for a million levels.
    expect(refusal(`{"a":${'[{"a":'.repeat(1_000_000)}`).code).toBe('malformed')
    expect(() => scan(nested(65), { maxDepth: 1_000 })).toThrow(/64 levels/)
  })

  test('counts values against the limit', () => {
    expect(scan('{"a":[1,2,{"b":"c"}]}', { maxElements: 6 })).toEqual({})
    const error = refusal('{"a":[1,2,{"b":"c"}]}', { maxElements: 5 })
    expect(error.code).toBe('too-large')
    expect(error.details.value).toBe('more than 5')
  })

  test.each([
    ['', 'the body is empty'],
    ['[1]', 'is no JSON object from byte 0 on'],
    ['  "x"', 'is no JSON object from byte 2 on'],
    ['{"a":1,}', 'is not valid JSON from byte 7 on'],
    ['{"a":1}}', 'is not valid JSON from byte 7 on'],
    ['{"a":1', 'is not valid JSON from byte 6 on'],
    ['{"ä":NaN}', 'is not valid JSON from byte 6 on'],
    ['\ufeff{}', 'is no JSON object from byte 0 on'],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22]), 'is not valid UTF-8'],
    [Buffer.from([0x1f, 0x8b, 8, 0]), 'is no JSON but gzip'],
    ['<html>', 'is no JSON but HTML or XML'],
  ])('refuses %j with its place: %s', (body, expected) => {
    const error = refusal(body)
    expect(error.code).toBe('malformed')
    expect(error.description).toContain(expected)
    expect(error.details.remedy).toBeDefined()
  })

  test('says what to do about what some writers send', () => {
    expect(refusal('{"data":[1, NaN]}').details.remedy).toContain('"NaN"')
    expect(refusal('{"data":[-Infinity]}').details.remedy).toContain('"Infinity"')
    expect(refusal("{'a': 1}").details.remedy).toContain('json.dumps')
    expect(refusal('{"a": None}').details.remedy).toContain('json.dumps')
    expect(refusal(Buffer.from([0x1f, 0x8b])).details.remedy).toContain('Content-Encoding')
  })

  test('reads a view as it lies, and leaves the bytes alone', () => {
    const whole = Buffer.from('garbage{"id":"x"}garbage')
    expect(scan(whole.subarray(7, 17))).toEqual({ id: 'x' })
    expect(whole.toString()).toBe('garbage{"id":"x"}garbage')
  })
})
