import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkIdentity } from '../event-message.ts'
import { readEvent, type StoredMessage, writeOrigin } from './event.ts'
import { encodeAttribute, type Headers } from './headers.ts'
import { eventToken } from './token.ts'

const EPOCH = '2026-01-31T10:00:00.123456789Z'
const TOKEN = 'GJgIAspJNGpZjsjU0c1KLQ'

function headersOf(entries: Readonly<Record<string, string>>): Headers {
  return new Map(Object.entries(entries).map(([name, value]) => [name.toLowerCase(), value]))
}

function message(headers: Readonly<Record<string, string>> = {}, body = '{}'): StoredMessage {
  return {
    subject: 'features.default.flight-delay.high',
    headers: headersOf(headers),
    body: Buffer.from(body),
    stream: 'FEATURES',
    epoch: EPOCH,
    sequence: 7,
  }
}

const binary = {
  'ce-specversion': '1.0',
  'ce-id': '42',
  'ce-source': '/airport/DTW',
  'ce-type': 'flight.scheduled',
  'ce-datacontenttype': 'application/json',
}

function structured(envelope: string, contentType = 'application/cloudevents+json'): StoredMessage {
  return message({ 'Content-Type': contentType }, envelope)
}

describe('readEvent, binary mode', () => {
  it('reads identity, route, data and defaults', () => {
    expect(readEvent(message(binary, '{"inputs":[]}'))).toMatchObject({
      id: '42',
      source: '/airport/DTW',
      token: eventToken('flight-delay', '/airport/DTW', '42'),
      route: { pool: 'default', model: 'flight-delay', lane: 'high' },
      origin: { stream: 'FEATURES', epoch: EPOCH, sequence: 7 },
      attempt: 1,
      supersedes: 0,
      contentType: 'application/json',
      expiresAt: undefined,
      modelVersion: undefined,
      replyTo: undefined,
      body: Buffer.from('{"inputs":[]}'),
      problem: undefined,
    })
  })

  it('reads names in any case', () => {
    const upper = Object.fromEntries(
      Object.entries(binary).map(([name, value]) => [name.toUpperCase(), value]),
    )
    expect(readEvent(message(upper))).toMatchObject({ id: '42', source: '/airport/DTW', problem: undefined })
  })

  it('decodes attributes, and knows the same event however it was encoded', () => {
    // Line and paragraph separators are refused, as control characters are.
    const ids = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
      .filter((id) => !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(id))
    fc.assert(
      fc.property(ids, (id) => {
        const event = readEvent(message({ ...binary, 'ce-id': encodeAttribute(id) }))
        expect(event.id).toBe(id.toWellFormed())
        expect(event.token).toBe(eventToken('flight-delay', '/airport/DTW', id))
        expect(event.problem).toBeUndefined()
      }),
    )
  })

  it('reads what Pelton itself may be told', () => {
    const event = readEvent(
      message({
        ...binary,
        'Pelton-Model-Version': '3',
        'Pelton-Reply-To': '_INBOX.a',
        'Pelton-Attempt': '2',
        'Pelton-Supersedes': '900',
        'Inference-Header-Content-Length': '12',
      }),
    )
    expect(event).toMatchObject({
      modelVersion: '3',
      replyTo: '_INBOX.a',
      attempt: 2,
      supersedes: 900,
      inferenceHeaderLength: '12',
      problem: undefined,
    })
  })

  it.each(['ce-id', 'ce-source', 'ce-datacontenttype', 'ce-expirytime'])(
    'says that %s cannot be decoded',
    (name) => {
      const { problem } = readEvent(message({ ...binary, [name]: '100%' }))
      expect(problem).toMatchObject({ code: 'malformed', details: { field: name, value: '"100%"' } })
    },
  )

  it.each(['ce-type', 'ce-subject', 'ce-partitionkey'])(
    'refuses %s, which it only carries, likewise',
    (name) => {
      for (const value of ['100%', '%zz', '%ff', '%c3%28'])
        expect(readEvent(message({ ...binary, [name]: value })).problem).toMatchObject({
          code: 'malformed',
          details: { field: name, value: JSON.stringify(value) },
        })
      expect(readEvent(message({ ...binary, [name]: '50%25%20off' })).problem).toBeUndefined()
    },
  )

  it('gives an event whose id cannot be decoded an identity of its own', () => {
    const one = readEvent(message({ ...binary, 'ce-id': '%' }))
    const other = readEvent({ ...message({ ...binary, 'ce-id': '%' }), sequence: 8 })
    expect(one.token).not.toBe(other.token)
  })

  it.each(['id', 'source'])('refuses a %s that would not fit the headers of its outcome', (part) => {
    const name = `ce-${part}`
    expect(readEvent(message({ ...binary, [name]: 'x'.repeat(1024) })).problem).toBeUndefined()
    expect(readEvent(message({ ...binary, [name]: 'x'.repeat(1025) })).problem).toMatchObject({
      code: 'malformed',
      description: expect.stringContaining(`the ${part} of an event is too long: 1025 characters`),
      details: { field: name },
    })
  })

  it.each(['\u0000', '\n', '\u007f', '\u0085', '\u2028', '\u2029'])(
    'refuses an id with %j, which the SDK does not send, and shows it',
    (character) => {
      const { problem } = readEvent(message({ ...binary, 'ce-id': encodeURIComponent(`a${character}b`) }))
      const code = character.charCodeAt(0).toString(16).padStart(4, '0')
      expect(problem?.description).toBe(
        `the id of an event has control characters (ce-id = "a${character === '\n' ? '\\n' : `\\u${code}`}b"). ` +
          'Use printable characters.',
      )
      expect(() => checkIdentity('id', `a${character}b`)).toThrow('invalid-argument')
    },
  )
})

describe('readEvent, without CloudEvents headers', () => {
  it('takes a Nats-Msg-Id for the id', () => {
    expect(readEvent(message({ 'Nats-Msg-Id': 'order-1' }))).toMatchObject({
      id: 'order-1',
      source: 'unknown',
      token: eventToken('flight-delay', 'unknown', 'order-1'),
      problem: undefined,
    })
  })

  it('takes its place in the stream for the identity where there is no header at all', () => {
    expect(readEvent(message())).toMatchObject({
      id: `${EPOCH}/7`,
      source: 'nats:FEATURES',
      problem: undefined,
    })
    expect(readEvent(message()).token).not.toBe(readEvent({ ...message(), sequence: 8 }).token)
    expect(readEvent(message()).token).not.toBe(readEvent({ ...message(), epoch: 'another' }).token)
  })

  it('takes an empty id for none, so that two such events are not one', () => {
    const empty = { ...binary, 'ce-id': '' }
    expect(readEvent(message(empty)).token).not.toBe(readEvent({ ...message(empty), sequence: 8 }).token)
    expect(readEvent(message({ ...empty, 'Nats-Msg-Id': 'order-1' })).id).toBe('order-1')
  })
})

describe('readEvent, structured mode', () => {
  const envelope =
    '{"specversion":"1.0","id":"ä 1","source":"/s","type":"t","datacontenttype":"application/json",' +
    '"data":{"inputs":[{"data":[9007199254740993,1.5,-0.0]}]},"partitionkey":12,"expirytime":"2026-01-31T12:00:00Z"}'

  it('reads the same as in binary mode', () => {
    expect(readEvent(structured(envelope))).toMatchObject({
      id: 'ä 1',
      source: '/s',
      token: eventToken('flight-delay', '/s', 'ä 1'),
      contentType: 'application/json',
      expiresAt: Date.UTC(2026, 0, 31, 12),
      problem: undefined,
    })
    const { headers } = readEvent(structured(envelope))
    expect(headers.get('ce-partitionkey')).toBe('12')
    expect(headers.has('content-type')).toBe(false)
  })

  it('keeps 64-bit integers exact', () => {
    const body = Buffer.from(readEvent(structured(envelope)).body).toString('utf8')
    expect(body).toContain('9007199254740993')
  })

  it('decodes data_base64', () => {
    const { body, contentType, problem } = readEvent(
      structured('{"id":"1","source":"s","datacontenttype":"application/octet-stream","data_base64":"AP8="}'),
    )
    expect([...body]).toEqual([0, 255])
    expect({ contentType, problem }).toEqual({ contentType: 'application/octet-stream', problem: undefined })
  })

  it('lets the envelope speak where a header says otherwise', () => {
    const both = { ...structured(envelope) }
    const headers = new Map([...both.headers, ['ce-id', 'other']])
    expect(readEvent({ ...both, headers }).id).toBe('ä 1')
  })

  it.each([
    ['parameters and case', 'Application/CloudEvents+JSON; charset=UTF-8'],
    ['no +json', 'application/cloudevents'],
  ])('is recognised with %s', (_what, contentType) => {
    expect(readEvent(structured(envelope, contentType))).toMatchObject({ id: 'ä 1', problem: undefined })
  })

  it.each([
    ['a batch', '[]', 'application/cloudevents-batch+json'],
    ['another format', '<event/>', 'application/cloudevents+xml'],
    ['broken JSON', '{', undefined],
    ['an array', '[]', undefined],
    ['a number', '1', undefined],
    ['an id that is an object', '{"id":{}}', undefined],
    ['an id of half a character', '{"id":"\\ud800"}', undefined],
  ])('refuses %s as malformed, and still has an identity', (_what, body, contentType) => {
    const event = readEvent(structured(body, contentType))
    expect(event.problem).toMatchObject({ code: 'malformed' })
    expect(event).toMatchObject({ id: `${EPOCH}/7`, body: Buffer.from(body) })
  })
})

describe('readEvent, structured mode with an envelope that cannot be used', () => {
  const faults = [
    ['bytes that are not base64', '"data_base64":"A"', 'data_base64'],
    ['base64url', '"data_base64":"_-8="', 'data_base64'],
    ['data twice', '"data":1,"data_base64":"AP8="', 'data_base64'],
    ['an extension that is an object', '"trace":{"a":1}', 'trace'],
    ['a name with a line break', '"a\\r\\npelton-supersedes: 9\\r\\nb":"c"', 'data'],
    ['a name that is empty', '"":"c"', 'data'],
  ] as const

  it.each(faults)('names %s, and keeps who the event is', (_what, fault, field) => {
    for (const envelope of [`{${fault},"id":"gw-1","source":"/s"}`, `{"id":"gw-1","source":"/s",${fault}}`]) {
      const event = readEvent(structured(envelope))
      expect(event.problem).toMatchObject({ code: 'malformed', details: { field } })
      expect(event).toMatchObject({ id: 'gw-1', source: '/s', body: Buffer.from(envelope), supersedes: 0 })
      expect(event.token).toBe(eventToken('flight-delay', '/s', 'gw-1'))
      expect(event.headers.get('content-type')).toBe('application/cloudevents+json')
    }
  })

  it('is mended by an edit of its payload: what was kept is read as the same event', () => {
    const broken = '{"specversion":"1.0","id":"gw-1","source":"/s","data":{"a":1},"data_base64":"AA=="}'
    const mended = Buffer.from(broken.replace(',"data_base64":"AA=="', ''))
    for (const sent of [structured(broken), message({}, broken)]) {
      const { headers, token } = readEvent(sent)
      expect(readEvent({ ...sent, headers, body: mended })).toMatchObject({
        token,
        body: Buffer.from('{"a":1}'),
        problem: undefined,
      })
    }
  })

  it('has no two ids pass for one because halves of a character look alike', () => {
    const ids = ['\\ud800', '\\ud801'].map((half) => readEvent(structured(`{"id":"x${half}"}`)))
    for (const { problem } of ids) expect(problem).toMatchObject({ details: { field: 'id' } })
  })

  it('keeps its data as it was written, with the sign of a zero', () => {
    const { body } = readEvent(structured('{"id":"1","data": [-0.0, -0,1e300,"\\u00e4"] }'))
    expect(Buffer.from(body).toString()).toBe('[-0.0, -0,1e300,"\\u00e4"]')
  })
})

describe('readEvent, structured mode without a content type', () => {
  // As the Go SDK sends it over NATS.
  const envelope =
    '{"specversion":"1.0","id":"go-1","source":"/shop","type":"order.placed","datacontenttype":"application/json",' +
    '"data":{"features":{"x":1}}}'

  it('reads the event, with its own identity', () => {
    expect(readEvent(message({}, envelope))).toMatchObject({
      id: 'go-1',
      source: '/shop',
      token: eventToken('flight-delay', '/shop', 'go-1'),
      contentType: 'application/json',
      body: Buffer.from('{"features":{"x":1}}'),
      problem: undefined,
    })
    expect(readEvent(message({ 'Nats-Msg-Id': 'of-the-client' }, envelope)).id).toBe('go-1')
  })

  it.each([
    ['a feature of that name', {}, '{"features":{"specversion":"1.0","id":"1"}}'],
    ['a text that has the word', {}, '{"features":{"text":"\\"specversion\\""}}'],
    ['a broken body', {}, envelope.slice(0, -1)],
    ['a content type of its own', { 'Content-Type': 'application/json' }, envelope],
    ['an event in binary mode', binary, envelope],
  ])('leaves %s as it is', (_what, headers, body) => {
    const event = readEvent(message(headers, body))
    expect(event).toMatchObject({ body: Buffer.from(body), problem: undefined })
    expect(event.id).toBe('ce-id' in headers ? '42' : `${EPOCH}/7`)
  })
})

describe('readEvent, deadline', () => {
  it.each([
    ['2026-01-31T12:00:00Z', Date.UTC(2026, 0, 31, 12)],
    ['2026-01-31t12:00:00.250z', Date.UTC(2026, 0, 31, 12, 0, 0, 250)],
    ['2026-01-31T14:00:00.123456789+02:00', Date.UTC(2026, 0, 31, 12, 0, 0, 123)],
  ])('reads %s', (text, time) => {
    expect(readEvent(message({ ...binary, 'ce-expirytime': text }))).toMatchObject({
      expiresAt: time,
      problem: undefined,
    })
  })

  it.each([
    ...['', 'tomorrow', '2026-01-31', '2026-01-31T12:00:00', '1767225600', '2026-13-01T00:00:00Z'],
    '2027-02-30T12:00:00Z',
  ])('refuses %j', (text) => {
    const { expiresAt, problem } = readEvent(message({ ...binary, 'ce-expirytime': text }))
    expect(expiresAt).toBeUndefined()
    expect(problem).toMatchObject({ code: 'malformed', details: { field: 'ce-expirytime' } })
  })
})

describe('readEvent, contract version', () => {
  it.each(['1', '1.0', '1.7'])('speaks %s', (version) => {
    expect(readEvent(message({ ...binary, 'Pelton-Contract': version })).problem).toBeUndefined()
  })

  it.each(['2', '2.0', '0.9', '10', '1.x', '', 'v1'])('does not speak %j', (version) => {
    expect(readEvent(message({ ...binary, 'Pelton-Contract': version })).problem).toMatchObject({
      code: 'malformed',
      details: { field: 'Pelton-Contract' },
    })
  })
})

describe('readEvent, CloudEvents version', () => {
  it.each(['1.0', '1.1', '1'])('reads %s', (version) => {
    expect(readEvent(message({ ...binary, 'ce-specversion': version })).problem).toBeUndefined()
    expect(readEvent(structured(`{"id":"1","specversion":"${version}"}`)).problem).toBeUndefined()
  })

  it.each(['2.0', '0.3', 'abc', '', '1.0.0'])('refuses %j, and keeps who the event is', (version) => {
    for (const sent of [
      message({ ...binary, 'ce-specversion': version }),
      structured(`{"id":"42","source":"/airport/DTW","specversion":"${version}"}`),
    ])
      expect(readEvent(sent)).toMatchObject({
        id: '42',
        source: '/airport/DTW',
        problem: {
          code: 'malformed',
          description: `this version of CloudEvents is not read here (ce-specversion = "${version}"). Send CloudEvents 1.0.`,
        },
      })
  })
})

describe('readEvent, counts', () => {
  it.each(['0', '-1', 'two', '1.5', '', '1e3', '9'.repeat(16)])('does not believe attempt %j', (text) => {
    const { attempt, problem } = readEvent(message({ ...binary, 'Pelton-Attempt': text }))
    expect(attempt).toBe(1)
    expect(problem).toMatchObject({ code: 'malformed', details: { field: 'Pelton-Attempt' } })
  })

  it('lets an event replace nothing where the sequence to replace is garbage', () => {
    const { supersedes, problem } = readEvent(message({ ...binary, 'Pelton-Supersedes': 'all' }))
    expect(supersedes).toBe(0)
    expect(problem).toMatchObject({ details: { field: 'Pelton-Supersedes' } })
  })
})

describe('readEvent, a copy', () => {
  const origin = { stream: 'FEATURES', epoch: EPOCH, sequence: 3 }
  const copy = { 'Pelton-Token': TOKEN, 'Pelton-Origin': writeOrigin(origin) }

  it('keeps the identity that was computed for the original', () => {
    const due = { ...message({ ...binary, ...copy }), subject: `due.default.flight-delay.high.${TOKEN}` }
    expect(readEvent({ ...due, stream: 'RETRIES', sequence: 99 })).toMatchObject({ token: TOKEN, origin })
  })

  it.each([
    ['a token without an origin', { 'Pelton-Token': TOKEN }],
    ['a token that is none', { ...copy, 'Pelton-Token': 'x' }],
    ['an origin of two words', { ...copy, 'Pelton-Origin': 'FEATURES 3' }],
    ['an origin without a sequence', { ...copy, 'Pelton-Origin': `FEATURES ${EPOCH} x` }],
    ['an origin with a line break', { ...copy, 'Pelton-Origin': `FEATURES\nx ${EPOCH} 3` }],
    [
      'an origin beyond what counts exactly',
      { ...copy, 'Pelton-Origin': `FEATURES ${EPOCH} ${'9'.repeat(16)}` },
    ],
    ['an origin too long for a header', { ...copy, 'Pelton-Origin': `${'F'.repeat(300)} ${EPOCH} 3` }],
  ])('does not believe %s', (_what, headers) => {
    expect(readEvent(message({ ...binary, ...headers })).token).toBe(
      eventToken('flight-delay', '/airport/DTW', '42'),
    )
  })
})

describe('readEvent, whatever comes', () => {
  const name = fc.constantFrom(
    ...Object.keys(binary),
    ...['Nats-Msg-Id', 'Content-Type', 'Pelton-Attempt', 'Pelton-Origin', 'Pelton-Token', 'ce-expirytime'],
  )
  const value = fc.oneof(fc.string(), fc.constantFrom('application/cloudevents+json', '%', '"', '1', TOKEN))

  it('never throws, and always has a token', () => {
    fc.assert(
      fc.property(
        fc.dictionary(name, value),
        fc.oneof(fc.json(), fc.string()),
        fc.string(),
        (headers, body, subject) => {
          const event = readEvent({ ...message(headers, body), subject })
          expect(event.token).toMatch(/^[A-Za-z0-9_-]{22}$/)
          expect(event.attempt).toBeGreaterThanOrEqual(1)
        },
      ),
      { numRuns: 500 },
    )
  })
})
