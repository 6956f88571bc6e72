import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeAttribute } from './headers.ts'
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

/** `__proto__` as a key is refused, wherever it stands. */
function isCarried(data: unknown): boolean {
  return !JSON.stringify(data).includes('"__proto__"')
}
