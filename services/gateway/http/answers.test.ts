import { type FastifyInstance, fastify } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { type Failure, type Prediction, readResult } from '../../../shared/sdk/result.ts'
import type { Accepted } from '../core/request.ts'
import { sendAccepted, sendFailure, sendPrediction, sendTimeout, statusOf } from './answers.ts'

const TOKEN = eventToken('linear', 'http', '1')
const ACCEPTED: Accepted = {
  ...{ token: TOKEN, model: 'linear', pool: 'default', lane: 'normal', loweredFrom: undefined },
  ...{ sequence: 7, handle: 'handle.signed', backlogSeconds: undefined },
}

function stored(headers: Readonly<Record<string, string>>, body: string | Uint8Array) {
  const all = {
    [HEADERS.token]: TOKEN,
    [HEADERS.origin]: 'FEATURES 1 7',
    [HEADERS.inputDigest]: 'A'.repeat(22),
    ...headers,
  }
  const block = new Map(Object.entries(all).map(([name, value]) => [name.toLowerCase(), value]))
  const result = readResult(`results.linear.${TOKEN}`, block, Buffer.from(body))
  if (result === undefined) throw new Error('this is no outcome')
  return result
}

const PREDICTED = {
  ...{
    [HEADERS.outcome]: 'prediction',
    [HEADERS.modelVersion]: '3',
    [HEADERS.dataContentType]: 'application/json',
  },
  ...{ [HEADERS.queueMs]: '1.50', [HEADERS.inferenceMs]: '0.25', [HEADERS.batchRows]: '4' },
}
const FAILED = {
  ...{ [HEADERS.outcome]: 'dead-letter', [HEADERS.deadLetterReason]: 'schema-mismatch' },
  ...{ [HEADERS.deadLetterDescription]: 'short', [HEADERS.stage]: 'validate' },
}
const NOTICE = {
  detail: 'long',
  field: 'inputs[0]',
  value: '[2]',
  remedy: 'Mend it.',
  id: 'event',
  source: 'key/secret',
}
const prediction = (headers = {}, body: string | Uint8Array = '{"outputs":[]}') =>
  stored({ ...PREDICTED, ...headers }, body) as Prediction
const failure = (headers = {}, body = JSON.stringify(NOTICE)) =>
  stored({ ...FAILED, ...headers }, body) as Failure

describe('answers about an event', () => {
  let app: FastifyInstance
  beforeEach(() => {
    app = fastify()
  })
  afterEach(() => app.close())

  async function answered(
    send: (reply: Parameters<typeof sendAccepted>[0]) => unknown,
    url = '/v2/models/linear/infer',
    headers = {},
  ) {
    app.get('/*', (_request, reply) => send(reply))
    const response = await app.inject({ url, headers })
    const type = response.headers['content-type']
    return {
      ...response,
      status: response.statusCode,
      type,
      json: () => response.json(),
      bytes: response.rawPayload,
    }
  }

  test('give a prediction byte for byte, under exactly its type', async () => {
    const bytes = Buffer.from('{"outputs":[{"data":[-0.0,1e400]}]}')
    const got = await answered((reply) => sendPrediction(reply, ACCEPTED, prediction({}, bytes)))
    expect(got.bytes).toEqual(bytes)
    expect(got.headers).toMatchObject({
      ...{ 'content-type': 'application/json', 'cache-control': 'no-store', 'pelton-token': TOKEN },
      ...{ 'pelton-model-version': '3', 'pelton-queue-ms': '1.5', 'pelton-inference-ms': '0.25' },
      ...{ 'pelton-batch-rows': '4', 'content-length': String(bytes.length) },
    })
    for (const name of ['pelton-lane', 'inference-header-content-length'])
      expect(got.headers).not.toHaveProperty(name)
  })

  test('give raw tensors with the length of the JSON before them', async () => {
    const headers = {
      [HEADERS.inferenceHeaderLength]: '2',
      [HEADERS.dataContentType]: 'application/octet-stream',
    }
    const bytes = Buffer.from([0x7b, 0x7d, 0, 255])
    const got = await answered((reply) => sendPrediction(reply, ACCEPTED, prediction(headers, bytes)))
    expect(got.bytes).toEqual(bytes)
    expect(got.headers).toMatchObject({
      ...{ 'content-type': 'application/octet-stream', 'inference-header-content-length': '2' },
    })
  })

  test('say what a prediction says, and nothing that it does not', async () => {
    const headers = { [HEADERS.queueMs]: 'x', [HEADERS.modelVersion]: '' }
    const got = await answered((reply) => sendPrediction(reply, ACCEPTED, prediction(headers)))
    expect(got.headers).not.toHaveProperty('pelton-queue-ms')
    expect(got.headers).not.toHaveProperty('pelton-model-version')
  })

  test('give the reason of a dead letter its status, and all that its notice names but whose it is', async () => {
    const extra = { members: { id: 'mine' } }
    const got = await answered((reply) => sendFailure(reply, ACCEPTED, failure(), extra))
    expect({ status: got.status, type: got.type }).toEqual({ status: 422, type: 'application/json' })
    expect(got.json()).toEqual({
      ...{ type: 'https://pelton.dev/problems/schema-mismatch', status: 422, code: 'schema-mismatch' },
      title: 'the event can be read but does not fit the signature of its model',
      ...{ detail: 'long', error: 'long', field: 'inputs[0]', value: '[2]', remedy: 'Mend it.' },
      ...{ reason: 'schema-mismatch', stage: 'validate', token: TOKEN, model: 'linear', id: 'mine' },
      instance: expect.stringMatching(/^urn:uuid:/),
    })
  })

  test.each(['no JSON', 'null', '[]', '{"detail":7}', ''])(
    'take a notice that cannot be read: %j',
    async (body) => {
      const got = await answered((reply) => sendFailure(reply, ACCEPTED, failure({}, body)))
      expect(got.json()).toMatchObject({ detail: 'short', error: 'short', token: TOKEN })
      expect(got.json()).not.toHaveProperty('field')
    },
  )

  test('take a reason of a newer worker for 500', async () => {
    const result = failure({ [HEADERS.deadLetterReason]: 'of-tomorrow' })
    expect(statusOf(result)).toBe(500)
    const got = await answered((reply) => sendFailure(reply, ACCEPTED, result))
    expect(got.json()).toMatchObject({ reason: 'of-tomorrow', status: 500 })
    expect(got.json()).not.toHaveProperty('code')
  })

  test('say when to come back where it will pass', async () => {
    const later = { ...ACCEPTED, backlogSeconds: 12.2 }
    const result = failure({ [HEADERS.deadLetterReason]: 'undeliverable' })
    const got = await answered((reply) => sendFailure(reply, later, result))
    expect({ status: got.status, after: got.headers['retry-after'] }).toEqual({ status: 503, after: '13' })
  })

  test('say under which token and where a late answer is found', async () => {
    const got = await answered((reply) => sendTimeout(reply, ACCEPTED, 500))
    expect({ status: got.status, type: got.type }).toEqual({ status: 504, type: 'application/json' })
    expect(got.headers).toMatchObject({ location: '/v1/results/handle.signed', 'pelton-token': TOKEN })
    expect(got.json()).toMatchObject({ code: 'timeout', token: TOKEN, model: 'linear' })
    expect(got.json().error).toContain(TOKEN)
    expect(got.json().error).toContain('GET /v1/results/handle.signed')
  })

  test('accept with a place to ask, an estimate where there is one, and no more than a minute to wait', async () => {
    const accepted = {
      ...ACCEPTED,
      backlogSeconds: 900,
      lane: 'low',
      loweredFrom: 'high',
      duplicate: true,
    } as const
    const got = await answered((reply) => sendAccepted(reply, accepted, { members: { id: 'mine' } }))
    expect({ status: got.status, type: got.type }).toEqual({ status: 202, type: 'application/json' })
    expect(got.headers).toMatchObject({
      ...{ location: '/v1/results/handle.signed', 'retry-after': '60', 'pelton-token': TOKEN },
      ...{ 'pelton-lane': 'low; lowered-from=high' },
    })
    expect(got.json()).toEqual({
      ...{ token: TOKEN, model: 'linear', pool: 'default', lane: 'low', loweredFrom: 'high', sequence: 7 },
      ...{ result: '/v1/results/handle.signed', estimateSeconds: 900, id: 'mine' },
    })
    await app.close()
    app = fastify()
    const unknown = await answered((reply) => sendAccepted(reply, ACCEPTED))
    expect(unknown.headers['retry-after']).toBe('1')
    expect(unknown.json()).not.toHaveProperty('estimateSeconds')
  })
})
