import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PeltonError } from '../errors.ts'
import { decodeAttribute } from './headers.ts'
import { type JsonValue, parseJson } from './json.ts'
import { unwrapStructured } from './structured.ts'

const mode = new Map([['content-type', 'application/cloudevents+json']])

function unwrap(envelope: unknown) {
  return unwrapStructured(mode, Buffer.from(JSON.stringify(envelope)))
}

describe('unwrapStructured', () => {
  it.each([undefined, 'application/json', 'text/plain; x=application/cloudevents'])(
    'leaves a message of content type %s as it is',
    (contentType) => {
      const headers = new Map(contentType === undefined ? [] : [['content-type', contentType]])
      const body = Buffer.from('{"id":"1"}')
      const unwrapped = unwrapStructured(headers, body)
      expect(unwrapped.headers).toBe(headers)
      expect(unwrapped.body).toBe(body)
      expect(unwrapped.problem).toBeUndefined()
    },
  )

  it('turns every attribute into the header its binary mode would have', () => {
    const attribute = fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.boolean())
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z0-9]{1,20}$/), attribute), (attributes) => {
        delete attributes.data
        const { headers, problem } = unwrap(attributes)
        expect(problem).toBeUndefined()
        for (const [name, value] of Object.entries(attributes)) {
          expect(decodeAttribute(headers.get(`ce-${name}`) ?? '')).toBe(String(value))
        }
      }),
    )
  })

  it('takes the JSON of data for the body', () => {
    fc.assert(
      fc.property(fc.jsonValue().filter(isCarried), (data) => {
        const { body, problem } = unwrap({ id: '1', data })
        expect(problem).toBeUndefined()
        expect(JSON.parse(Buffer.from(body).toString('utf8'))).toEqual(JSON.parse(JSON.stringify(data)))
      }),
    )
  })

  it('takes data for the body in the very bytes it was written in, wherever it stands and however its name is written', () => {
    const name = fc.constantFrom('"data"', '"d\\u0061ta"', '"\\u0064\\u0061\\u0074\\u0061"')
    const space = fc.constantFrom('', ' ', '\n\t')
    const nested = fc.constantFrom('{"data":1}', '{"x":{"data":[":"]}}', '"\\"data\\":1"')
    const value = fc.oneof(fc.json({ stringUnit: 'binary' }), nested)
    fc.assert(
      fc.property(name, value, space, fc.boolean(), (key, json, between, isFirst) => {
        const data = `${key}${between}:${between}${json}${between}`
        const members = isFirst ? [data, '"id":"1"'] : ['"id":"1"', '"subject":"\\"data\\":2"', data]
        const { headers, body, problem } = unwrapText(`{${members.join(`${between},${between}`)}}`)
        expect(problem).toBeUndefined()
        expect(headers.get('ce-id')).toBe('1')
        expect(Buffer.from(body).toString()).toBe(json)
      }),
    )
  })

  it('refuses, here or where its body is decoded, whatever strict JSON refuses; all else has the value it had', () => {
    fc.assert(
      fc.property(disturbed, (text) => {
        const whole = attempt(() => parseJson(Buffer.from(text)))
        const { body, problem } = unwrapText(text)
        const decoded = attempt(() => parseJson(body))
        if (whole === undefined) expect(problem !== undefined || decoded === undefined).toBe(true)
        else if (problem === undefined) expect(decoded).toEqual({ value: dataOf(whole.value) })
      }),
      { numRuns: 3_000 },
    )
  })

  it.each([
    ['a key twice in its data', '{"id":"1","data":{"a":1,"\\u0061":2}}', 'twice'],
    ['a key of the prototype in its data', '{"id":"1","data":[{"__proto__":1}]}', 'not allowed'],
    ['a number no double holds', '{"id":"1","data":[1e999]}', 'too large'],
  ])('leaves %s to the decoding, and knows who the event is', (_what, text, expected) => {
    const { headers, body, problem } = unwrapText(text)
    expect(problem).toBeUndefined()
    expect(headers.get('ce-id')).toBe('1')
    expect(() => parseJson(body)).toThrow(expected)
  })

  it.each([
    ['data twice', '{"id":"1","data":1,"d\\u0061ta":2}', 'twice'],
    ['data three times', '{"data":[1],"data":[1],"data":[1]}', 'twice'],
    ['an attribute twice', '{"id":"1","id":"1","data":1}', 'twice'],
    ['an attribute of the prototype', '{"__proto__":{"id":"1"},"data":1}', 'not allowed'],
    ['an attribute no double holds', '{"x":1e999,"data":1}', 'too large'],
    ['data nested too deep', `{"data":${'['.repeat(64)}${']'.repeat(64)}}`, 'nested too deep'],
    ['a byte order mark', '\ufeff{"id":"1"}', 'byte order mark'],
    ['data that breaks off', '{"id":"1","data":[1,', 'not valid JSON'],
    ['a bare NaN in its data', '{"id":"1","data":[NaN]}', 'it has NaN'],
    ['an array', '[{"id":"1"}]', 'must be a JSON object'],
    ['something behind it', '{"id":"1"}{', 'not valid JSON'],
  ])('refuses %s', (_what, text, expected) => {
    const { headers, problem } = unwrapText(text)
    expect(problem).toMatchObject({ code: 'malformed', message: expect.stringContaining(expected) })
    expect(headers).toBe(mode)
  })

  it('refuses what is no UTF-8, in its data too, and says what UTF-16 is', () => {
    const broken = Buffer.concat([Buffer.from('{"data":"'), Buffer.of(0xff), Buffer.from('"}')])
    expect(unwrapStructured(mode, broken).problem?.message).toContain('not valid UTF-8')
    expect(unwrapStructured(mode, Buffer.from('\ufeff{"data":1}', 'utf16le')).problem?.message).toContain(
      'UTF-16',
    )
  })

  it('reads no long value of an attribute that can have none, and keeps who the event is', () => {
    const list = `[${'{"a":1,"a":2},'.repeat(10_000)}1]`
    const { headers, problem } = unwrapText(`{"id":"1","x":${list},"y":{"z":${list}},"data":${list}}`)
    expect(problem).toMatchObject({ details: { field: 'x', value: 'an array' } })
    expect(headers.get('ce-id')).toBe('1')
  })

  it('takes the bytes of data_base64 for the body', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const { body } = unwrap({ id: '1', data_base64: Buffer.from(bytes).toString('base64') })
        expect([...body]).toEqual([...bytes])
      }),
    )
  })

  it('passes over attributes that are null, as the format allows', () => {
    const { headers, problem } = unwrap({ id: '1', subject: null })
    expect(problem).toBeUndefined()
    expect(headers.has('ce-subject')).toBe(false)
  })

  it('keeps numbers as they were written', () => {
    const body = Buffer.from('{"id":"1","data":[18446744073709551615,-9223372036854775808,1.0]}')
    const unwrapped = unwrapStructured(mode, body)
    expect(Buffer.from(unwrapped.body).toString('utf8')).toMatch(
      /^\[18446744073709551615,-9223372036854775808,1/,
    )
  })

  it.each(['a b', 'a:b', 'a\r\nb', '', 'é', 'a'.repeat(65)])('refuses the attribute name %j', (name) => {
    expect(unwrap({ id: '1', [name]: 'x' }).problem).toMatchObject({ code: 'malformed' })
  })
})

function unwrapText(envelope: string) {
  return unwrapStructured(mode, Buffer.from(envelope))
}

function attempt(read: () => JsonValue): { readonly value: JsonValue } | undefined {
  try {
    return { value: read() }
  } catch (thrown) {
    if (thrown instanceof PeltonError) return undefined
    throw thrown
  }
}

function dataOf(envelope: JsonValue): JsonValue | undefined {
  return (envelope as { readonly data?: JsonValue }).data ?? null
}

/** Envelopes in which a few characters were put in, or put in place of others. */
const disturbed = fc
  .tuple(
    fc.json({ maxDepth: 3 }),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.constantFrom(
          ...'{}[]",:\\u061eE+-. \ntfn'.split(''),
          '"data":',
          ',"a":1',
          '9007199254740993',
          '1e999',
        ),
        fc.boolean(),
      ),
      { maxLength: 3 },
    ),
  )
  .map(([data, changes]) => {
    let text = `{"id":"1","data":${data},"a":"\\u003a"}`
    for (const [at, put, isInstead] of changes) {
      const place = at % (text.length + 1)
      text = text.slice(0, place) + put + text.slice(place + Number(isInstead))
    }
    return text
  })

/** `__proto__` as a key is refused, wherever it stands. */
function isCarried(data: unknown): boolean {
  return !JSON.stringify(data).includes('"__proto__"')
}
