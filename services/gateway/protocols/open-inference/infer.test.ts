import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HEADERS } from '../../../../shared/sdk/contract/headers.ts'
import { eventToken } from '../../../../shared/sdk/contract/token.ts'
import { PeltonError } from '../../../../shared/sdk/errors.ts'
import { type Prediction, readResult } from '../../../../shared/sdk/result.ts'
import { OPEN_CALLER, protocolApp } from '../../../../test/kit/protocol-app.ts'
import type { EndedRequest } from '../../core/figures.ts'
import type { Accepted, Answer, InferenceRequest, Wanted } from '../../core/request.ts'
import { openInference } from './open-inference.ts'

const TOKEN = eventToken('m', 'http', '1')
const ACCEPTED: Accepted = {
  ...{ token: TOKEN, model: 'm', pool: 'default', lane: 'normal', loweredFrom: undefined },
  ...{ sequence: 7, handle: 'handle', backlogSeconds: undefined },
}
const HEADERS_OF_RESULT = {
  ...{ [HEADERS.token]: TOKEN, [HEADERS.origin]: 'FEATURES 1 7', [HEADERS.inputDigest]: 'A'.repeat(22) },
  ...{ [HEADERS.outcome]: 'prediction', [HEADERS.modelVersion]: '3' },
}
const RESULT = readResult(
  `results.m.${TOKEN}`,
  new Map(Object.entries(HEADERS_OF_RESULT).map(([name, value]) => [name.toLowerCase(), value])),
  Buffer.from('{"outputs":[]}'),
) as Prediction

describe('a request of the protocol', () => {
  let app: FastifyInstance
  let asked: { readonly request: InferenceRequest; readonly wanted: Wanted }[]
  let ended: EndedRequest[]
  let answer: () => Answer

  beforeEach(() => {
    asked = []
    answer = () => ({ kind: 'prediction', accepted: ACCEPTED, result: RESULT })
    ;({ app, ended } = protocolApp([openInference], {
      core: {
        models: { isRead: true, find: () => undefined, all: () => [], servedVersions: () => [] },
        infer: async (request, wanted) => {
          asked.push({ request, wanted })
          return answer()
        },
        lookUp: async () => ({ kind: 'unknown' }),
      },
    }))
  })
  afterEach(() => app.close())

  const post = (payload: string, headers: Readonly<Record<string, string>> = {}) =>
    app.inject({
      method: 'POST',
      url: '/v2/models/m/versions/3/infer?x=y',
      payload: Buffer.from(payload),
      headers,
    })

  test('goes to the core as it came, with all that stands beside it', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const body = ' {"id":"mine", "parameters":{"timeout":1500,"priority":3},"inputs":[1e400,"\\u00e9"]}\n'
    const { statusCode } = await post(body, { traceparent, 'idempotency-key': '"k"' })
    expect(statusCode).toBe(200)
    const { request, wanted } = asked[0] ?? {}
    expect(wanted).toEqual({ mode: 'sync' })
    expect(request).toMatchObject({
      ...{ model: 'm', modelVersion: '3', lane: 'low', timeoutMs: 2, idempotencyKey: 'k', traceparent },
      ...{ contentType: 'application/json', inferenceHeaderLength: undefined, caller: OPEN_CALLER },
    })
    expect(Buffer.from(request?.data ?? []).toString()).toBe(body)
  })

  test('has raw tensors behind as many bytes of JSON as its header says', async () => {
    const rest = '\u0000not JSON'
    await post(`{"inputs":[]}${rest}`, { 'Inference-Header-Content-Length': '13', 'content-type': 'x/y' })
    const request = asked[0]?.request
    expect(request).toMatchObject({ contentType: 'application/octet-stream', inferenceHeaderLength: 13 })
    expect(Buffer.from(request?.data ?? []).toString()).toBe(`{"inputs":[]}${rest}`)
  })

  test('that is answered again says so, where a key asked for it', async () => {
    answer = () => ({ kind: 'prediction', accepted: { ...ACCEPTED, duplicate: true }, result: RESULT })
    const again = await post('{}', { 'idempotency-key': '"k"' })
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect((await post('{}')).headers).not.toHaveProperty('idempotency-replayed')
  })

  test('waits as it prefers, and is told what was done', async () => {
    answer = () => ({ kind: 'accepted', accepted: ACCEPTED })
    const { statusCode, headers } = await post('{}', { prefer: 'respond-async, wait=5' })
    expect(asked[0]?.wanted).toEqual({ mode: 'async', waitMs: 5_000 })
    expect({ statusCode, applied: headers['preference-applied'] }).toEqual({
      ...{ statusCode: 202, applied: 'respond-async, wait=5' },
    })
  })

  test('is counted once, however it ends', async () => {
    await post('{}')
    answer = () => ({ kind: 'timeout', accepted: ACCEPTED, timeoutMs: 2 })
    await post('{}')
    answer = () => {
      throw new PeltonError('stream-full', 'it is full')
    }
    await post('{}')
    await post('{')
    expect(ended.map((each) => [each.ended, each.status, each.reason, each.model])).toEqual([
      ['prediction', 200, undefined, 'm'],
      ['timeout', 504, 'timeout', 'm'],
      ['refused', 503, 'stream-full', undefined],
      ['refused', 400, 'malformed', undefined],
    ])
    expect(asked).toHaveLength(3)
  })
})
