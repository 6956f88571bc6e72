import { afterEach, describe, expect, test } from 'vitest'
import { readResult } from '../../../../shared/sdk/result.ts'
import { OPEN_CALLER, type ProtocolApp, protocolApp } from '../../../../test/kit/protocol-app.ts'
import type { GatewayCore } from '../../core/core.ts'
import type { Accepted, Answer, InferenceRequest, Wanted } from '../../core/request.ts'
import { cloudEvents } from './cloud-events.ts'

const ACCEPTED: Accepted = {
  token: 'T'.repeat(22),
  model: 'm',
  pool: 'default',
  lane: 'normal',
  loweredFrom: undefined,
  sequence: 7,
  duplicate: false,
  handle: 'handle.1~x',
  backlogSeconds: 2.4,
}

const EVENT = {
  'ce-specversion': '1.0',
  'ce-type': 'com.example.someevent',
  'ce-source': '/mine',
  'ce-id': 'A234',
  'content-type': 'application/json',
}

let open: ProtocolApp | undefined
afterEach(() => open?.app.close())

/** What the core was asked, and an app whose core answers as is said. */
function answering(answer: () => Answer | Promise<Answer>, caller = OPEN_CALLER) {
  const asked: { request: InferenceRequest; wanted: Wanted }[] = []
  const core: GatewayCore = {
    models: {
      isRead: true,
      // Only that there is one is asked.
      find: (_pool, model) => (model === 'm' ? ({} as never) : undefined),
      all: () => [],
      servedVersions: () => [],
    },
    infer: async (request, wanted) => {
      asked.push({ request, wanted })
      return answer()
    },
    lookUp: () => Promise.reject(new Error('not asked here')),
  }
  const made = protocolApp([cloudEvents], { core, caller })
  open = made
  const post = (headers: Record<string, string>, url = '/v1/models/m/events', payload = '{"features":{}}') =>
    made.app.inject({ method: 'POST', url, headers, payload })
  return { asked, post, ended: made.ended }
}

const accepted = (): Answer => ({ kind: 'accepted', accepted: ACCEPTED })

describe('an event', () => {
  test('is answered 202 with its token, and where its result is', async () => {
    const { asked, post, ended } = answering(accepted)
    const answer = await post({
      ...EVENT,
      'ce-extra': '1',
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    })
    expect(answer.statusCode).toBe(202)
    expect(answer.headers).toMatchObject({
      location: '/v1/results/handle.1~x',
      'retry-after': '3',
      'cache-control': 'no-store',
      'pelton-token': ACCEPTED.token,
      'content-type': 'application/json',
    })
    expect(answer.headers).not.toHaveProperty('preference-applied')
    expect(answer.json()).toEqual({
      token: ACCEPTED.token,
      model: 'm',
      pool: 'default',
      lane: 'normal',
      sequence: 7,
      result: '/v1/results/handle.1~x',
      estimateSeconds: 2.4,
      id: 'A234',
      source: '/mine',
      duplicate: false,
    })
    expect(asked[0]?.wanted).toEqual({ mode: 'async', waitMs: 0 })
    expect(asked[0]?.request).toMatchObject({
      model: 'm',
      modelVersion: undefined,
      lane: 'normal',
      contentType: 'application/json',
      attributes: { id: 'A234', source: '/mine', extensions: [['ce-extra', '1']] },
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    })
    expect(ended).toMatchObject([{ model: 'm', protocol: 'cloudevents', ended: 'accepted', status: 202 }])
  })

  test('goes to a version and a lane', async () => {
    const { asked, post } = answering(accepted)
    await post(EVENT, '/v1/models/a%2Fb/versions/3/events?lane=low')
    expect(asked[0]?.request).toMatchObject({ model: 'a/b', modelVersion: '3', lane: 'low' })
  })

  test.each([
    ['?lane=urgent', 'lane', '"urgent"'],
    ['?lane=low&lane=high', 'lane', '["low","high"]'],
    ['?wait=3', 'wait', '"3"'],
  ])('with the query %s is refused', async (query, field, value) => {
    const { asked, post, ended } = answering(accepted)
    const answer = await post(EVENT, `/v1/models/m/events${query}`)
    expect(answer.json()).toMatchObject({ status: 400, field, value })
    expect(asked).toEqual([])
    expect(ended).toMatchObject([{ model: 'm', ended: 'refused', status: 400, reason: 'invalid-argument' }])
  })

  test('hands an idempotency key on, so that the core refuses it beside an id', async () => {
    const { asked, post } = answering(accepted)
    await post({ ...EVENT, 'idempotency-key': '"k"' })
    expect(asked[0]?.request.idempotencyKey).toBe('k')
    expect((await post({ ...EVENT, 'idempotency-key': '"a", "b"' })).statusCode).toBe(400)
  })

  test('that is none is refused, and counted without the name of a model that nobody serves', async () => {
    const { post, ended } = answering(accepted)
    const answer = await post({ 'content-type': 'application/json' }, '/v1/models/made-up/events')
    expect(answer.json()).toMatchObject({ status: 400, code: 'malformed', field: 'ce-specversion' })
    expect(ended).toMatchObject([{ model: undefined, ended: 'refused', status: 400, reason: 'malformed' }])
  })

  test('of a caller with a key has the source of the key, and is told so', async () => {
    const caller = { ...OPEN_CALLER, keyId: 'k1', source: 'key/k1' }
    const { post } = answering(accepted, caller)
    const answer = await post(EVENT)
    expect(answer.headers['pelton-source']).toBe('key/k1')
    expect(answer.json()).toMatchObject({ source: 'key/k1' })
    const same = await post({ ...EVENT, 'ce-source': 'key/k1' })
    expect(same.headers).not.toHaveProperty('pelton-source')
  })

  test('whose lane was lowered is told so', async () => {
    const { post } = answering(() => ({
      kind: 'accepted',
      accepted: { ...ACCEPTED, lane: 'low', loweredFrom: 'high' },
    }))
    const answer = await post(EVENT)
    expect(answer.headers['pelton-lane']).toBe('low; lowered-from=high')
    expect(answer.json()).toMatchObject({ lane: 'low', loweredFrom: 'high' })
  })
})

describe('Prefer', () => {
  test.each([
    ['respond-async', 0, 'respond-async'],
    ['wait=5', 5_000, 'wait=5'],
    ['respond-async, wait=5', 5_000, 'respond-async, wait=5'],
    ['wait=500', 30_000, 'wait=30'],
    ['wait=never', 0, undefined],
  ])('%s', async (prefer, waitMs, applied) => {
    const { asked, post } = answering(accepted)
    const answer = await post({ ...EVENT, prefer })
    expect(asked[0]?.wanted).toEqual({ mode: 'async', waitMs })
    expect(answer.headers['preference-applied']).toBe(applied)
  })

  test('an answer that came in time is the prediction itself', async () => {
    const { post, ended } = answering(() => ({
      kind: 'prediction',
      accepted: ACCEPTED,
      result: prediction(),
    }))
    const answer = await post({ ...EVENT, prefer: 'respond-async, wait=5' })
    expect(answer.statusCode).toBe(200)
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'inference-header-content-length': '2',
      'pelton-model-version': '2',
      'preference-applied': 'wait=5',
    })
    expect(answer.body).toBe('{}raw')
    expect(ended).toMatchObject([
      { ended: 'prediction', status: 200, modelVersion: '2', queueMs: 1.5, inferenceMs: 0.25, batchRows: 4 },
    ])
  })

  test('a dead letter that came in time is an answer, with the status of its reason', async () => {
    const { post, ended } = answering(() => ({
      kind: 'failure',
      accepted: ACCEPTED,
      result: failure('schema-mismatch'),
    }))
    const answer = await post({ ...EVENT, prefer: 'wait=5' })
    expect(answer.statusCode).toBe(422)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.json()).toMatchObject({
      status: 422,
      code: 'schema-mismatch',
      reason: 'schema-mismatch',
      stage: 'validate',
      detail: 'x is missing. Send x.',
      error: 'x is missing. Send x.',
      id: 'A234',
      token: ACCEPTED.token,
    })
    expect(ended).toMatchObject([{ ended: 'failure', status: 422, reason: 'schema-mismatch' }])
  })

  test('reasons of a newer worker are answered, too; 503 says when to come back', async () => {
    const { post } = answering(() => ({
      kind: 'failure',
      accepted: ACCEPTED,
      result: failure('out-of-luck'),
    }))
    expect((await post(EVENT)).json()).toMatchObject({
      status: 500,
      reason: 'out-of-luck',
      title: 'out-of-luck',
    })
    await open?.app.close()
    const shed = answering(() => ({ kind: 'failure', accepted: ACCEPTED, result: failure('shed') }))
    expect(await shed.post(EVENT)).toMatchObject({ statusCode: 503, headers: { 'retry-after': '3' } })
  })

  test('a deadline that is over is 504, with where to find what became of it', async () => {
    const { post, ended } = answering(() => ({ kind: 'timeout', accepted: ACCEPTED, timeoutMs: 50 }))
    const answer = await post({ ...EVENT, prefer: 'wait=5' })
    expect(answer.statusCode).toBe(504)
    expect(answer.headers.location).toBe('/v1/results/handle.1~x')
    expect(answer.json()).toMatchObject({
      code: 'timeout',
      token: ACCEPTED.token,
      remedy: expect.stringContaining('GET'),
    })
    expect(ended).toMatchObject([{ ended: 'timeout', status: 504, reason: 'timeout' }])
  })
})

function outcome(headers: Readonly<Record<string, string>>, body: string) {
  const all = {
    'pelton-token': ACCEPTED.token,
    'pelton-origin': 'FEATURES 2026-01-01T00:00:00Z 7',
    'pelton-input-digest': 'd'.repeat(22),
    'pelton-contract': '1.0',
    'ce-correlationid': 'A234',
    ...headers,
  }
  return readResult(`results.m.${ACCEPTED.token}`, new Map(Object.entries(all)), Buffer.from(body))
}

function prediction() {
  const result = outcome(
    {
      'pelton-outcome': 'prediction',
      'pelton-model-version': '2',
      'ce-datacontenttype': 'application/octet-stream',
      'inference-header-content-length': '2',
      'pelton-queue-ms': '1.5',
      'pelton-inference-ms': '0.25',
      'pelton-batch-rows': '4',
    },
    '{}raw',
  )
  if (result?.kind !== 'prediction') throw new Error('no prediction')
  return result
}

function failure(reason: string) {
  const result = outcome(
    {
      'pelton-outcome': 'dead-letter',
      'x-dead-letter-reason': reason,
      'x-dead-letter-description': 'x is missing. Send x.',
      'pelton-stage': 'validate',
    },
    '{}',
  )
  if (result?.kind !== 'failure') throw new Error('no failure')
  return result
}
