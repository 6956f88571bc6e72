import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeAttribute } from '../../../../shared/sdk/contract/headers.ts'
import { PeltonError } from '../../../../shared/sdk/errors.ts'
import { Refusal } from '../../core/refusal.ts'
import { type ReceivedEvent, receiveEvent } from './received-event.ts'

/** A request as it arrives: its header names in lower case in one table, and as they came in a list. */
function request(headers: Readonly<Record<string, string>>, body: string | Uint8Array = '') {
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])
  return {
    headers: Object.fromEntries(lower),
    rawHeaders: Object.entries(headers).flat(),
    body: Buffer.from(body),
  }
}

const BINARY = {
  'ce-specversion': '1.0',
  'ce-type': 'com.example.someevent',
  'ce-source': '/mycontext',
  'ce-id': 'A234-1234-1234',
}
const ENVELOPE = {
  specversion: '1.0',
  type: 'com.example.someevent',
  source: '/mycontext',
  id: 'A234-1234-1234',
}
const JSON_MODE = 'application/cloudevents+json'
const structured = (envelope: object, contentType = JSON_MODE): ReceivedEvent =>
  receiveEvent(request({ 'Content-Type': contentType }, JSON.stringify(envelope)))
const text = ({ data }: ReceivedEvent): string => Buffer.from(data).toString()

function thrownBy(act: () => unknown): unknown {
  try {
    act()
  } catch (thrown) {
    return thrown
  }
  return undefined
}

describe('the examples of the HTTP binding', () => {
  test('binary mode (3.1.4)', () => {
    const event = receiveEvent(
      request(
        {
          Host: 'webhook.example.com',
          'ce-specversion': '1.0',
          'ce-type': 'com.example.someevent',
          'ce-time': '2018-04-05T03:56:24Z',
          'ce-id': '1234-1234-1234',
          'ce-source': '/mycontext/subcontext',
          'Content-Type': 'application/json; charset=utf-8',
        },
        '{"features": {}}',
      ),
    )
    expect(event).toMatchObject({
      id: '1234-1234-1234',
      source: '/mycontext/subcontext',
      contentType: 'application/json',
      inferenceHeaderLength: undefined,
      attributes: { type: 'com.example.someevent', time: '2018-04-05T03:56:24Z', extensions: [] },
    })
    expect(text(event)).toBe('{"features": {}}')
  })

  test.each([
    'application/cloudevents+json; charset=UTF-8',
    'Application/CloudEvents+JSON',
    'application/cloudevents',
  ])('structured mode (3.2.4) as %s', (contentType) => {
    const event = structured({ ...ENVELOPE, data: { features: { a: 1 } } }, contentType)
    expect(event).toMatchObject({
      id: 'A234-1234-1234',
      source: '/mycontext',
      contentType: 'application/json',
    })
    expect(text(event)).toBe('{"features":{"a":1}}')
  })

  test('names in any case, and values with quotes, as older versions wrote them (3.1.3)', () => {
    const event = receiveEvent(
      request({
        ...BINARY,
        'CE-Subject': '"Euro \\"x\\" %E2%82%AC"',
        'Ce-MyExtension': 'Euro%20%e2%82%ac%20%F0%9F%98%80',
      }),
    )
    expect(event.attributes).toMatchObject({
      subject: 'Euro "x" €',
      extensions: [['ce-myextension', 'Euro%20%E2%82%AC%20%F0%9F%98%80']],
    })
  })

  test('what is encoded needlessly is read, what is no UTF-8 is refused (3.1.3.2)', () => {
    expect(receiveEvent(request({ ...BINARY, 'ce-id': '%41%42' })).id).toBe('AB')
    const thrown = thrownBy(() => receiveEvent(request({ ...BINARY, 'ce-comexample': '%C0%A0' })))
    expect(thrown).toMatchObject({
      code: 'malformed',
      details: { field: 'ce-comexample', value: '"%C0%A0"' },
    })
  })

  test.each(['application/cloudevents-batch+json', 'application/cloudevents-batch+json; charset=utf-8'])(
    'batches (3.3) are refused: %s',
    (contentType) => {
      const thrown = thrownBy(() => structured([ENVELOPE], contentType))
      expect(thrown).toBeInstanceOf(Refusal)
      expect(thrown).toMatchObject({ status: 415, details: { field: 'Content-Type', remedy: /./ } })
    },
  )

  test.each([
    'application/cloudevents+avro',
    'application/cloudevents+protobuf',
    'application/cloudevents-other',
  ])('formats that are not read are refused: %s', (contentType) =>
    expect(thrownBy(() => structured(ENVELOPE, contentType))).toMatchObject({ status: 415 }),
  )
})

describe('the examples of the JSON format', () => {
  const extensions = { comexampleextension1: 'value', comexampleothervalue: 5 }
  const carried = [
    ['ce-comexampleextension1', 'value'],
    ['ce-comexampleothervalue', '5'],
  ]

  test.each([
    [
      'an object',
      { appinfoA: 'abc', appinfoB: 123, appinfoC: true },
      '{"appinfoA":"abc","appinfoB":123,"appinfoC":true}',
    ],
    ['a number', 1.5, '1.5'],
    ['a text', "I'm just a string", '"I\'m just a string"'],
  ])('%s as data', (_what, data, expected) => {
    const event = structured({ ...ENVELOPE, ...extensions, subject: null, unsetextension: null, data })
    expect(text(event)).toBe(expected)
    expect(event.attributes).toMatchObject({ subject: undefined, extensions: carried })
  })

  test('data_base64 is its bytes', () => {
    const event = structured({ ...ENVELOPE, data_base64: 'eyAieHl6IjogMTIzIH0=' })
    expect(text(event)).toBe('{ "xyz": 123 }')
  })

  test('data_base64 with tensors needs the length of the JSON before them', () => {
    const envelope = { ...ENVELOPE, datacontenttype: 'application/octet-stream', data_base64: 'e30AAAA=' }
    expect(thrownBy(() => structured(envelope))).toMatchObject({
      code: 'malformed',
      details: { field: 'Inference-Header-Content-Length' },
    })
    const headers = { 'Content-Type': JSON_MODE, 'Inference-Header-Content-Length': '2' }
    expect(receiveEvent(request(headers, JSON.stringify(envelope)))).toMatchObject({
      contentType: 'application/octet-stream',
      inferenceHeaderLength: 2,
    })
  })

  test.each(['application/xml', 'application/vnd.apache.thrift.binary', 'text/plain'])(
    'data that no worker reads is refused: %s',
    (datacontenttype) => {
      const thrown = thrownBy(() => structured({ ...ENVELOPE, datacontenttype, data: '<much wow="xml"/>' }))
      expect(thrown).toMatchObject({ status: 415, details: { value: JSON.stringify(datacontenttype) } })
    },
  )

  test('an envelope that cannot be read is refused with its reason', () => {
    for (const body of ['', '[]', '{"id": 1', '{"id":"a","id":"b"}', '{"id":{"a":1}}', '\ufeff{}'])
      expect(thrownBy(() => receiveEvent(request({ 'Content-Type': JSON_MODE }, body)))).toMatchObject({
        code: 'malformed',
      })
  })

  test('headers beside an envelope are copies of it, and not read', () => {
    const headers = { 'Content-Type': JSON_MODE, 'ce-id': 'other', 'ce-extra': 'x' }
    const event = receiveEvent(request(headers, JSON.stringify({ ...ENVELOPE, data: 1 })))
    expect(event.id).toBe('A234-1234-1234')
    expect(event.attributes.extensions).toEqual([])
  })
})

describe('attributes', () => {
  test.each(['specversion', 'id', 'source', 'type'])('%s is required, and an empty one is none', (name) => {
    const { [`ce-${name}`]: _left, ...others } = BINARY as Record<string, string>
    for (const headers of [others, { ...BINARY, [`ce-${name}`]: '' }, { ...BINARY, [`ce-${name}`]: '""' }])
      expect(thrownBy(() => receiveEvent(request(headers)))).toMatchObject({
        code: 'malformed',
        details: { field: `ce-${name}`, remedy: expect.stringContaining(`ce-${name}`) },
      })
    for (const value of [undefined, null, ''])
      expect(thrownBy(() => structured({ ...ENVELOPE, [name]: value }))).toMatchObject({
        code: 'malformed',
        details: { field: name, remedy: expect.stringContaining(name) },
      })
  })

  test.each([
    ['ce-specversion', '0.3', 'malformed'],
    ['ce-specversion', '2.0', 'malformed'],
    ['ce-id', 'a%0Ab', 'invalid-argument'],
    ['ce-source', 'a'.repeat(1_025), 'invalid-argument'],
    ['ce-type', 'a%00', 'invalid-argument'],
    ['ce-time', 'yesterday', 'malformed'],
    ['ce-expirytime', '2026-02-30T00:00:00Z', 'malformed'],
    ['ce-datacontenttype', 'application/json', 'malformed'],
    ['ce-my.name', 'x', 'malformed'],
    ['ce-my-name', 'x', 'malformed'],
    [`ce-${'a'.repeat(65)}`, 'x', 'malformed'],
    ['ce-subject', 'Käse', 'malformed'],
  ])('%s: %s is refused by its name', (name, value, code) => {
    expect(thrownBy(() => receiveEvent(request({ ...BINARY, [name]: value })))).toMatchObject({
      code,
      details: { field: name },
    })
  })

  test('expirytime is the deadline, and no extension', () => {
    const event = receiveEvent(
      request({ ...BINARY, 'ce-expirytime': '2030-01-01T00:00:00Z', 'ce-dataschema': '/s' }),
    )
    expect(event.attributes.expiresAt).toBe('2030-01-01T00:00:00Z')
    expect(event.attributes.extensions).toEqual([['ce-dataschema', '/s']])
  })

  test('extensions are bounded in number and bytes: copies of an event carry all of them', () => {
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`extension${index}`, 'x']))
    expect(thrownBy(() => structured({ ...ENVELOPE, ...many }))).toMatchObject({
      code: 'invalid-argument',
      details: { field: 'extensions' },
    })
    expect(thrownBy(() => structured({ ...ENVELOPE, large: 'x'.repeat(4_097) }))).toBeInstanceOf(PeltonError)
    expect(structured({ ...ENVELOPE, large: 'x'.repeat(4_000) }).attributes.extensions).toHaveLength(1)
  })

  test('an event says the same in both modes', () => {
    const value = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(isPlain)
    const extension = fc.stringMatching(/^x[a-z0-9]{0,19}$/)
    const event = fc.record({ id: value, source: value, type: value, subject: value })
    fc.assert(
      fc.property(event, fc.dictionary(extension, value, { maxKeys: 8 }), (own, extensions) => {
        const all = { specversion: '1.0', ...own, ...extensions }
        const headers = Object.entries(all).map(([name, given]) => [`ce-${name}`, encodeAttribute(given)])
        const { data: _none, ...binary } = receiveEvent(request(Object.fromEntries(headers)))
        const { data: _null, ...enveloped } = structured({ ...all })
        expect(enveloped).toEqual(binary)
        expect(binary.attributes).toMatchObject(own)
      }),
    )
  })

  /** What an identity may consist of, and what quotes do not change. */
  function isPlain(given: string): boolean {
    return given.isWellFormed() && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(given)
  }
})

describe('data in binary mode', () => {
  test.each([
    [undefined, undefined, 'application/json', undefined],
    ['', undefined, 'application/json', undefined],
    ['application/json', undefined, 'application/json', undefined],
    ['application/vnd.acme+json; charset=utf-8', undefined, 'application/json', undefined],
    ['application/octet-stream', '2', 'application/octet-stream', 2],
    [undefined, '2', 'application/octet-stream', 2],
    ['application/json', '2', 'application/json', 2],
  ])('Content-Type %s with length %s is %s', (type, length, contentType, inferenceHeaderLength) => {
    const headers = {
      ...BINARY,
      ...(type !== undefined && { 'Content-Type': type }),
      ...(length !== undefined && { 'Inference-Header-Content-Length': length }),
    }
    expect(receiveEvent(request(headers, '{}abcd'))).toMatchObject({ contentType, inferenceHeaderLength })
  })

  test.each([
    ['application/octet-stream', undefined, 400],
    ['application/octet-stream', '7', 400],
    ['application/octet-stream', '-1', 400],
    ['application/octet-stream', '2, 2', 400],
    ['application/json; charset=latin1', undefined, 400],
    ['application/x-www-form-urlencoded', undefined, 415],
    ['text/xml', undefined, 415],
  ])('Content-Type %s with length %s is refused', (type, length, status) => {
    const headers = {
      ...BINARY,
      'Content-Type': type,
      ...(length !== undefined && { 'Inference-Header-Content-Length': length }),
    }
    const thrown = thrownBy(() => receiveEvent(request(headers, '{}abcd')))
    expect(thrown).toMatchObject(status === 415 ? { status } : { code: 'malformed' })
  })
})
