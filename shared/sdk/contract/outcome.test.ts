import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PeltonError } from '../errors.ts'
import { parseHeaderBlock } from '../jetstream/stored-message.ts'
import { type FeatureEvent, readEvent, writeOrigin } from './event.ts'
import { decodeAttribute, encodeHeaderBlock, type HeaderEntry } from './headers.ts'
import {
  deadLetterMessage,
  type Failure,
  failureOf,
  type OutgoingMessage,
  removalMark,
  removalMarkSubject,
  retryMessage,
} from './outcome.ts'
import { encodeLines, failureNotice, type OutcomeMessage, predictionMessage } from './register-message.ts'
import { subjects } from './subjects.ts'
import { eventToken } from './token.ts'

const EPOCH = '2026-01-31T10:00:00.123456789Z'
const SUBJECT = 'features.default.flight-delay.high'
const AT = Date.UTC(2026, 0, 31, 12, 0, 0, 5)

const made = {
  worker: 'w1',
  at: AT,
  deliveryCount: 2,
  storedAt: AT - 1_000,
  modelVersion: '3',
  inputDigest: 'digest-of-22-chars-aaa',
} as const

const facts = {
  modelVersion: '3',
  contentType: 'application/json',
  inferenceHeaderLength: undefined,
  queueMs: 12.345,
  inferenceMs: 1.2345,
  batchRows: 8,
} as const

const failure: Failure = { reason: 'inference-failed', description: 'it went wrong', stage: 'infer' }

function eventWith(headers: Readonly<Record<string, string>> = {}, body = '{"inputs":[]}'): FeatureEvent {
  const entries = Object.entries({ 'ce-id': '42', 'ce-source': '/airport/DTW', ...headers })
  return readEvent({
    subject: SUBJECT,
    headers: new Map(entries.map(([name, value]) => [name.toLowerCase(), value])),
    body: Buffer.from(body),
    stream: 'FEATURES',
    epoch: EPOCH,
    sequence: 7,
  })
}

/** The headers as whoever receives the message reads them. */
function received(message: OutgoingMessage | OutcomeMessage): Record<string, string> {
  const block = 'lines' in message ? encodeLines(message) : encodeHeaderBlock(message.headers)
  return Object.fromEntries(parseHeaderBlock(block))
}

function headerBytes(entries: readonly HeaderEntry[]): number {
  return encodeHeaderBlock(entries).length
}

describe('predictionMessage', () => {
  it('goes to the register of its event and says what design §5 asks for', () => {
    const event = eventWith({ traceparent: '00-0af7-b7ad-01', tracestate: 'a=1' })
    const message = predictionMessage(event, facts, made, Buffer.from('{"outputs":[]}'))
    expect(message.subject).toBe(`results.flight-delay.${event.token}`)
    expect(Buffer.from(message.body).toString()).toBe('{"outputs":[]}')
    expect(received(message)).toEqual({
      'pelton-contract': '1.0',
      'ce-specversion': '1.0',
      'ce-id': `${event.token}-7`,
      'ce-source': '/pelton/models/flight-delay',
      'ce-time': '2026-01-31T12:00:00.005Z',
      'ce-correlationid': '42',
      'ce-causationid': '42',
      'pelton-outcome': 'prediction',
      'pelton-token': event.token,
      'pelton-origin': `FEATURES ${EPOCH} 7`,
      'pelton-attempt': '1',
      'pelton-input-digest': made.inputDigest,
      'pelton-worker': 'w1',
      traceparent: '00-0af7-b7ad-01',
      tracestate: 'a=1',
      'ce-type': 'pelton.prediction',
      'ce-datacontenttype': 'application/json',
      'pelton-model-version': '3',
      'pelton-queue-ms': '12.3',
      'pelton-inference-ms': '1.23',
      'pelton-batch-rows': '8',
    })
  })

  it('says how long the JSON before binary tensors is', () => {
    const binary = { ...facts, contentType: 'application/octet-stream', inferenceHeaderLength: 99 }
    const headers = received(predictionMessage(eventWith(), binary, made, new Uint8Array()))
    expect(headers['inference-header-content-length']).toBe('99')
  })

  it('takes no other header of its event along', () => {
    const headers = received(
      predictionMessage(eventWith({ 'X-Secret': 's', 'Nats-Rollup': 'all' }), facts, made, new Uint8Array()),
    )
    expect(headers).not.toHaveProperty('x-secret')
    expect(headers).not.toHaveProperty('nats-rollup')
  })
})

describe('failureNotice', () => {
  it('goes to the same register with a problem body', () => {
    const event = eventWith()
    const notice = failureNotice(event, failure, made)
    expect(notice.subject).toBe(`results.flight-delay.${event.token}`)
    expect(JSON.parse(Buffer.from(notice.body).toString())).toEqual({
      type: 'https://pelton.dev/problems/inference-failed',
      title: 'the model failed on this event',
      status: 500,
      detail: 'it went wrong',
      reason: 'inference-failed',
      stage: 'infer',
      id: '42',
      source: '/airport/DTW',
      error: 'it went wrong',
    })
    expect(received(notice)).toMatchObject({
      'ce-type': 'pelton.failure',
      'ce-datacontenttype': 'application/problem+json',
      'ce-correlationid': '42',
      'pelton-outcome': 'dead-letter',
      'pelton-input-digest': made.inputDigest,
      'pelton-stage': 'infer',
      'x-dead-letter-reason': 'inference-failed',
      'x-dead-letter-description': 'it went wrong',
    })
  })

  it('names what is wrong apart from the sentence, where there is something to name', () => {
    const details = { field: 'inputs[0].shape', value: '[2,3]', remedy: 'Mend it.' }
    const { body } = failureNotice(eventWith(), { ...failure, details }, made)
    expect(JSON.parse(Buffer.from(body).toString())).toMatchObject({ detail: 'it went wrong', ...details })
  })

  it('stays small whatever its event says of itself', () => {
    const event = eventWith({ 'ce-id': 'é'.repeat(200_000), 'ce-source': 'x'.repeat(200_000) })
    expect(event.problem).toMatchObject({ code: 'malformed' })
    const notice = failureNotice(event, failure, made)
    expect(encodeLines(notice).length).toBeLessThan(8 * 1024)
    expect(notice.body.length).toBeLessThan(8 * 1024)
  })
})

describe('deadLetterMessage', () => {
  it('keeps payload and headers of its event, without those of the broker', () => {
    const event = eventWith(
      { 'X-Tenant': 'a', 'ce-subject': 'gate', 'Nats-Msg-Id': 'id', 'Nats-Rollup': 'all', traceparent: 't' },
      'the payload',
    )
    const letter = deadLetterMessage(event, SUBJECT, failure, made)
    expect(letter.subject).toBe(`deadletters.flight-delay.${event.token}`)
    expect(Buffer.from(letter.body).toString()).toBe('the payload')
    expect(received(letter)).toEqual({
      'pelton-contract': '1.0',
      'pelton-token': event.token,
      'pelton-origin': `FEATURES ${EPOCH} 7`,
      'x-dead-letter-reason': 'inference-failed',
      'x-dead-letter-description': 'it went wrong',
      'pelton-stage': 'infer',
      'x-original-subject': SUBJECT,
      'x-original-stream': 'FEATURES',
      'x-original-seq': '7',
      'x-failed-at': '2026-01-31T12:00:00.005Z',
      'x-first-seen': '2026-01-31T11:59:59.005Z',
      'x-delivery-count': '2',
      'pelton-attempt': '1',
      'pelton-worker': 'w1',
      'pelton-input-digest': made.inputDigest,
      'pelton-history': '2026-01-31T12:00:00.005Z inference-failed attempt=1 version=3',
      'pelton-failed-version': '3',
      'x-tenant': 'a',
      'ce-id': '42',
      'ce-source': '/airport/DTW',
      'ce-subject': 'gate',
      traceparent: 't',
    })
  })

  it('tells the version its producer asked for from the one that failed', () => {
    const pinned = received(
      deadLetterMessage(eventWith({ 'Pelton-Model-Version': '2' }), SUBJECT, failure, made),
    )
    expect(pinned).toMatchObject({ 'pelton-model-version': '2', 'pelton-failed-version': '3' })
    expect(received(deadLetterMessage(eventWith({}), SUBJECT, failure, made))).not.toHaveProperty(
      'pelton-model-version',
    )
  })

  it('names version and replay of a failure in its history, where they can stand there', () => {
    const of = (task: string, modelVersion: string) =>
      received(
        deadLetterMessage(eventWith({ 'Pelton-Replay': task }), SUBJECT, failure, { ...made, modelVersion }),
      )['pelton-history']
    expect(of('20260131T120000-1f2e3d', '3')).toMatch(/ attempt=1 version=3 replay=20260131T120000-1f2e3d$/)
    expect(of('a; b', 'x'.repeat(200))).toMatch(/ attempt=1$/)
  })

  it('writes down an identity that would be lost with the headers of the broker', () => {
    const plain = readEvent({
      subject: SUBJECT,
      headers: new Map([['nats-msg-id', 'my order']]),
      body: new Uint8Array(),
      stream: 'FEATURES',
      epoch: EPOCH,
      sequence: 7,
    })
    expect(received(deadLetterMessage(plain, SUBJECT, failure, made))).toMatchObject({
      'ce-id': 'my%20order',
      'ce-source': 'unknown',
    })
  })

  it('remembers earlier failures, the newest eight', () => {
    const history = Array.from({ length: 12 }, (_, index) => `2026 timed-out attempt=${index}`).join('; ')
    const letter = received(
      deadLetterMessage(eventWith({ 'Pelton-History': history }), SUBJECT, failure, made),
    )
    const kept = letter['pelton-history']?.split('; ')
    expect(kept).toHaveLength(8)
    expect(kept?.[0]).toBe('2026 timed-out attempt=5')
    expect(kept?.at(-1)).toBe('2026-01-31T12:00:00.005Z inference-failed attempt=1 version=3')
  })

  it('cuts headers of its event, never its own, when they are too many', () => {
    const many = Object.fromEntries(
      Array.from({ length: 50 }, (_, index) => [`x-${index}`, 'v'.repeat(1_000)]),
    )
    const letter = deadLetterMessage(eventWith({ ...many, 'ce-type': 'flight' }), SUBJECT, failure, made)
    expect(headerBytes(letter.headers)).toBeLessThanOrEqual(12 * 1024 + 16)
    expect(received(letter)).toMatchObject({
      'pelton-failed-version': '3',
      'x-dead-letter-reason': 'inference-failed',
      'ce-id': '42',
      'ce-source': '/airport/DTW',
      'ce-type': 'flight',
      'x-0': 'v'.repeat(1_000),
    })
  })

  it('keeps its own headers also where those it is built from are enormous', () => {
    const event = eventWith({
      'Pelton-History': 'h'.repeat(100_000),
      'Pelton-Origin': `${'F'.repeat(100_000)} e 1`,
      'Pelton-Token': 'GJgIAspJNGpZjsjU0c1KLQ',
      tracestate: 't'.repeat(100_000),
    })
    const letter = deadLetterMessage(
      event,
      'x'.repeat(100_000),
      { ...failure, description: 'd'.repeat(100_000) },
      made,
    )
    expect(headerBytes(letter.headers)).toBeLessThanOrEqual(12 * 1024 + 16)
    expect(received(letter)).toMatchObject({
      'pelton-failed-version': '3',
      'ce-id': '42',
      'pelton-origin': `FEATURES ${EPOCH} 7`,
    })
  })

  it('lets nobody write headers through a value or a name', () => {
    const letter = deadLetterMessage(
      eventWith({ 'x-evil': 'a\r\nNats-Rollup: all', 'x\nnats-rollup': 'all', 'pelton-history': 'h\nx: y' }),
      'features.a\r\nNats-Rollup: all',
      { ...failure, description: 'line 1\nNats-Rollup: all\r\n\r\nbody' },
      made,
    )
    const text = Buffer.from(encodeHeaderBlock(letter.headers)).toString('utf8')
    expect(text.split(/\r\n|\r|\n/).filter((line) => /^nats-rollup|^x: y/i.test(line))).toEqual([])
    expect(received(letter)).toMatchObject({
      'x-evil': 'a Nats-Rollup: all',
      'x-dead-letter-description': 'line 1 Nats-Rollup: all body',
    })
  })

  it('writes one header for each entry, whatever its event holds', () => {
    const text = fc.string({ unit: fc.constantFrom('\r', '\n', '\0', ':', ' ', 'a', 'é', '%', '"') })
    fc.assert(
      fc.property(fc.dictionary(text, text), text, text, (headers, subject, description) => {
        const letter = deadLetterMessage(eventWith(headers), subject, { ...failure, description }, made)
        const lines = Buffer.from(encodeHeaderBlock(letter.headers))
          .toString('utf8')
          .split(/\r\n|\r|\n/)
        expect(lines).toHaveLength(letter.headers.length + 3)
      }),
    )
  })
})

describe('the digest an event had before an operator edited it', () => {
  const digest = 'GJgIAspJNGpZjsjU0c1KLQ'

  it('stands in its outcomes, its dead letter and its retry; what is no digest does not', () => {
    const edited = eventWith({ 'Pelton-Original-Digest': digest })
    const messages = [
      failureNotice(edited, failure, made),
      predictionMessage(edited, facts, made, new Uint8Array()),
      deadLetterMessage(edited, SUBJECT, failure, made),
      retryMessage(edited, failure, made, AT),
    ]
    for (const message of messages) expect(received(message)['pelton-original-digest']).toBe(digest)
    const forged = failureNotice(eventWith({ 'Pelton-Original-Digest': 'x y' }), failure, made)
    expect(received(forged)).not.toHaveProperty('pelton-original-digest')
  })
})

describe('a mark that a dead letter was removed', () => {
  it('is kept beside the start marks, under a key of its own', () => {
    const mark = removalMark('GJgIAspJNGpZjsjU0c1KLQ', '2026-01-31T12:00:00.005Z')
    expect(mark.subject).toBe(removalMarkSubject('GJgIAspJNGpZjsjU0c1KLQ'))
    expect(mark.subject).not.toBe(subjects.startMark('GJgIAspJNGpZjsjU0c1KLQ'))
    expect(Buffer.from(mark.body).toString()).toBe('2026-01-31T12:00:00.005Z')
  })
})

describe('retryMessage', () => {
  it('is a schedule for the next attempt of the same event, without a message id', () => {
    const event = eventWith({ 'Pelton-Attempt': '2', 'Nats-Msg-Id': 'id', 'ce-type': 'flight' }, 'payload')
    const retry = retryMessage(event, failure, made, AT)
    expect(retry.subject).toBe(`retries.default.flight-delay.high.${event.token}`)
    expect(Buffer.from(retry.body).toString()).toBe('payload')
    expect(received(retry)).toEqual({
      'nats-schedule': '@at 2026-01-31T12:00:00.005Z',
      'nats-schedule-target': `due.default.flight-delay.high.${event.token}`,
      'pelton-token': event.token,
      'pelton-origin': `FEATURES ${EPOCH} 7`,
      'pelton-attempt': '3',
      'x-first-seen': new Date(made.storedAt).toISOString(),
      'pelton-history': `${new Date(made.at).toISOString()} ${failure.reason} attempt=2 version=3`,
      'ce-id': '42',
      'ce-source': '/airport/DTW',
      'ce-type': 'flight',
    })
  })

  it('is read back as the same event, one attempt further', () => {
    const name = fc.constantFrom(
      'ce-type',
      'ce-expirytime',
      'x-tenant',
      'Pelton-Model-Version',
      'Pelton-Reply-To',
    )
    fc.assert(
      fc.property(fc.dictionary(name, fc.stringMatching(/^[!-~]{1,40}$/)), (headers) => {
        const event = eventWith(headers)
        const retry = retryMessage(event, failure, made, AT)
        const again = readEvent({
          subject: `due.default.flight-delay.high.${event.token}`,
          headers: parseHeaderBlock(encodeHeaderBlock(retry.headers)),
          body: retry.body,
          stream: 'RETRIES',
          epoch: 'another',
          sequence: 1,
        })
        for (const field of [
          'token',
          'id',
          'source',
          'route',
          'origin',
          'modelVersion',
          'replyTo',
        ] as const) {
          expect(again[field]).toEqual(event[field])
        }
        expect(again.attempt).toBe(event.attempt + 1)
      }),
    )
  })

  it('keeps what makes its event readable when headers have to be cut', () => {
    const many = Object.fromEntries(
      Array.from({ length: 50 }, (_, index) => [`x-${index}`, 'v'.repeat(1_000)]),
    )
    const retry = retryMessage(
      eventWith({ ...many, 'ce-datacontenttype': 'application/json' }),
      failure,
      made,
      AT,
    )
    expect(headerBytes(retry.headers)).toBeLessThanOrEqual(12 * 1024 + 16)
    expect(received(retry)).toMatchObject({ 'ce-id': '42', 'ce-datacontenttype': 'application/json' })
  })
})

describe('structured events', () => {
  it('become dead letters in binary mode that are read as the same event', () => {
    const event = readEvent({
      subject: SUBJECT,
      headers: new Map([['content-type', 'application/cloudevents+json']]),
      body: Buffer.from('{"id":"ä","source":"/s","datacontenttype":"application/json","data":{"inputs":[]}}'),
      stream: 'FEATURES',
      epoch: EPOCH,
      sequence: 7,
    })
    const letter = deadLetterMessage(event, SUBJECT, failure, made)
    const headers = received(letter)
    expect(headers).not.toHaveProperty('content-type')
    expect(decodeAttribute(headers['ce-id'] ?? '')).toBe('ä')
    expect(Buffer.from(letter.body).toString()).toBe('{"inputs":[]}')
    expect(headers['pelton-origin']).toBe(writeOrigin(event.origin))
  })

  it('keep their id and source where their envelope cannot be used, and stay whole', () => {
    const body = Buffer.from('{"id":"gw-1","source":"/s","data":1,"data_base64":"AA=="}')
    const headers = new Map([['content-type', 'application/cloudevents+json']])
    const event = readEvent({
      subject: SUBJECT,
      headers,
      body,
      stream: 'FEATURES',
      epoch: EPOCH,
      sequence: 7,
    })
    const letter = deadLetterMessage(event, SUBJECT, failure, made)
    expect(received(letter)).toMatchObject({
      'ce-id': 'gw-1',
      'ce-source': '/s',
      'content-type': 'application/cloudevents+json',
    })
    expect(letter.body).toEqual(body)
    expect(letter.subject).toContain(eventToken('flight-delay', '/s', 'gw-1'))
  })
})

describe('failureOf', () => {
  it('says what an error says, without its code', () => {
    const error = new PeltonError('malformed', 'no good', { field: 'a', value: '1', remedy: 'Mend it.' })
    expect(failureOf(error, 'malformed', 'decode')).toEqual({
      reason: 'malformed',
      stage: 'decode',
      description: 'no good (a = 1). Mend it.',
      details: { field: 'a', value: '1', remedy: 'Mend it.' },
    })
  })
})
