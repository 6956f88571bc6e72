import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { GatewayCore } from '../../services/gateway/core/core.ts'
import type {
  Accepted,
  Answer,
  Caller,
  InferenceRequest,
  Looked,
} from '../../services/gateway/core/request.ts'
import { cloudEvents } from '../../services/gateway/protocols/cloud-events/cloud-events.ts'
import { results } from '../../services/gateway/protocols/results/results.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeResponse, encodeRequest } from '../../shared/sdk/contract/open-inference.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { eventMessage } from '../../shared/sdk/event-message.ts'
import { lookIntoRegister } from '../../shared/sdk/jetstream/register.ts'
import { createMessageProducer, type MessageProducer } from '../../shared/sdk/producer.ts'
import { readResult } from '../../shared/sdk/result.ts'
import { waitFor } from '../../shared/sdk/wait-for.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readStream } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { OPEN_CALLER, type ProtocolApp, protocolApp } from '../kit/protocol-app.ts'
import { eventually } from '../kit/wait.ts'

const MODEL = 'identity-fp32'

let models: Awaited<ReturnType<typeof modelsFolder>>
let pipeline: Pipeline
let producer: MessageProducer
let gateway: ProtocolApp
let url: string

beforeAll(async () => {
  models = await modelsFolder([MODEL])
  pipeline = await openPipeline({ models: models.path })
  producer = await createMessageProducer({ connection: pipeline.connection, source: 'gateway' })
  await pipeline.startWorker()
})

afterAll(async () => {
  await producer?.close()
  await pipeline?.close()
  await models?.remove()
})

beforeEach(() => listen(OPEN_CALLER))
afterEach(() => gateway.app.close())

async function listen(caller: Caller): Promise<void> {
  gateway = protocolApp([cloudEvents, results], { core: thinCore(pipeline.connection, producer), caller })
  url = await gateway.app.listen({ host: '127.0.0.1', port: 0 })
}

/** The least there is of a core: the SDK's own producer, `waitFor` and register, and handles that nobody signed. */
function thinCore(connection: NatsConnection, from: MessageProducer): GatewayCore {
  return {
    models: { isRead: true, find: () => undefined, all: () => [], servedVersions: () => [] },
    infer: async (request, wanted) => {
      const message = messageOf(request)
      const receipt = await from.publishMessage(message, request.model)
      const accepted = acceptedOf(request, receipt)
      const waitMs = wanted.mode === 'async' ? wanted.waitMs : 60_000
      if (waitMs === 0) return { kind: 'accepted', accepted }
      try {
        return answerOf(
          accepted,
          await waitFor(connection, { model: request.model, token: receipt.token }, { timeoutMs: waitMs }),
        )
      } catch (thrown) {
        if (thrown instanceof PeltonError && thrown.code === 'timeout') return { kind: 'accepted', accepted }
        throw thrown
      }
    },
    lookUp: async (handle) => lookUp(connection, handle),
  }
}

function messageOf({ caller, attributes = {}, ...request }: InferenceRequest) {
  const { id = 'none', source = caller.source, type, time, subject, expiresAt, extensions = [] } = attributes
  const { model, lane, data, contentType, modelVersion, inferenceHeaderLength, traceparent } = request
  const event = {
    ...{ id, model, lane, data, contentType },
    ...(type !== undefined && { type }),
    ...(time !== undefined && { time }),
    ...(subject !== undefined && { subject }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(modelVersion !== undefined && { modelVersion }),
    ...(inferenceHeaderLength !== undefined && { inferenceHeaderLength }),
    ...(traceparent !== undefined && { traceparent }),
  }
  const own = caller.keyId === undefined ? source : caller.source
  const message = eventMessage(event, { source: own, pool: caller.pool, now: Date.now() })
  return { ...message, headers: [...message.headers, ...extensions] }
}

function acceptedOf(
  { model, lane, caller }: Pick<InferenceRequest, 'model' | 'lane' | 'caller'>,
  stored: { readonly token: string; readonly sequence: number; readonly duplicate?: boolean },
): Accepted {
  const handle = [model, stored.token, stored.sequence].join('~')
  const { pool } = caller
  return { ...stored, model, lane, pool, loweredFrom: undefined, handle, backlogSeconds: undefined }
}

function answerOf(accepted: Accepted, result: NonNullable<ReturnType<typeof readResult>>): Answer {
  return result.kind === 'prediction'
    ? { kind: 'prediction', accepted, result }
    : { kind: 'failure', accepted, result }
}

async function lookUp(connection: NatsConnection, handle: string): Promise<Looked> {
  const [model = '', token = '', sequence = '0'] = handle.split('~')
  if (token === '') return { kind: 'unknown' }
  const accepted = acceptedOf(
    { model, lane: 'normal', caller: OPEN_CALLER },
    { token, sequence: Number(sequence) },
  )
  const register = subjects.result(model, token)
  const { outcome } = await lookIntoRegister(connection, register)
  const result = outcome && readResult(register, outcome.headers, outcome.body)
  return result === undefined ? { kind: 'accepted', accepted } : answerOf(accepted, result)
}

const tensor = (...data: number[]) => ({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data }] })
const outputOf = (body: { outputs?: { data: number[] }[] }) => body.outputs?.[0]?.data

const attributes = (id: string) => ({
  'ce-specversion': '1.0',
  'ce-type': 'com.example.someevent',
  'ce-source': '/mycontext',
  'ce-id': id,
})

function post(body: string | Uint8Array, headers: Record<string, string>, query = ''): Promise<Response> {
  return fetch(`${url}/v1/models/${MODEL}/events${query}`, {
    method: 'POST',
    body: Buffer.from(body),
    headers,
  })
}

/** What became of an accepted event, by its Location; waits as callers do. */
async function later(accepted: Response): Promise<Response> {
  expect(accepted.status).toBe(202)
  const location = accepted.headers.get('location')
  return eventually('the result', async () => {
    const answer = await fetch(`${url}${location}`, { headers: { prefer: 'wait=10' } })
    return answer.status !== 202 && answer
  })
}

describe('a CloudEvent over HTTP', () => {
  test('in binary mode is published as it is, and answered later', async () => {
    const headers = {
      ...attributes('binary-1'),
      'ce-time': '2018-04-05T03:56:24Z',
      'ce-subject': 'Euro%20%E2%82%AC',
      'ce-comexampleothervalue': '5',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    }
    const accepted = await post(JSON.stringify(tensor(1, 2)), {
      ...headers,
      'content-type': 'application/json; charset=utf-8',
    })
    const answer = await later(accepted)
    const token = eventToken(MODEL, '/mycontext', 'binary-1')
    expect(await accepted.json()).toMatchObject({
      token,
      id: 'binary-1',
      source: '/mycontext',
      duplicate: false,
    })
    expect([answer.status, answer.headers.get('pelton-token')]).toEqual([200, token])
    expect(outputOf((await answer.json()) as object)).toEqual([1, 2])
    expect(gateway.ended.map(({ protocol, ended }) => [protocol, ended]).at(-1)).toEqual([
      'results',
      'prediction',
    ])
  })

  test('in structured mode is the same event: the second of the two is taken once', async () => {
    const envelope = {
      specversion: '1.0',
      type: 'com.example.someevent',
      source: '/mycontext',
      id: 'both-modes',
      comexampleothervalue: 5,
      unsetextension: null,
      data: tensor(3, 4),
    }
    const first = await post(JSON.stringify(envelope), {
      'content-type': 'application/cloudevents+json; charset=utf-8',
    })
    const second = await post(JSON.stringify(tensor(3, 4)), attributes('both-modes'))
    const [one, other] = [await first.json(), await second.json()] as { token: string; duplicate: boolean }[]
    expect([first.status, second.status, one?.duplicate, other?.duplicate]).toEqual([202, 202, false, true])
    expect(other?.token).toBe(one?.token)
    expect(outputOf((await (await later(first)).json()) as object)).toEqual([3, 4])
  })

  test('with raw tensors is answered with raw tensors', async () => {
    const { body, contentType, inferenceHeaderLength } = encodeRequest(
      {
        parameters: { binary_data_output: true },
        inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(5, 6.5) }],
      },
      { binary: true },
    )
    const headers = {
      'content-type': contentType,
      'inference-header-content-length': String(inferenceHeaderLength),
    }
    const binary = await later(await post(body, { ...attributes('raw-1'), ...headers }))
    const envelope = {
      specversion: '1.0',
      ...{ type: 'com.example.someevent', source: '/mycontext', id: 'raw-2', datacontenttype: contentType },
      data_base64: Buffer.from(body).toString('base64'),
    }
    const structured = await later(
      await post(JSON.stringify(envelope), { ...headers, 'content-type': 'application/cloudevents+json' }),
    )
    for (const answer of [binary, structured]) {
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/octet-stream'])
      const length = answer.headers.get('inference-header-content-length') ?? undefined
      const { outputs } = decodeResponse(
        'application/octet-stream',
        length,
        new Uint8Array(await answer.arrayBuffer()),
      )
      expect(outputs[0]?.data).toEqual(Float32Array.of(5, 6.5))
    }
  })

  test('is answered on its connection where its sender prefers to wait', async () => {
    const answer = await post(JSON.stringify(tensor(7, 8)), { ...attributes('waits'), prefer: 'wait=30' })
    expect([answer.status, answer.headers.get('preference-applied')]).toEqual([200, 'wait=30'])
    expect(outputOf((await answer.json()) as object)).toEqual([7, 8])
  })

  test('that cannot be predicted is answered with its reason, and is a dead letter with all it said', async () => {
    const headers = { ...attributes('wrong'), 'ce-comexample': 'a%20b', 'ce-subject': 's' }
    const answer = await later(await post('{"inputs": []}', headers))
    expect(answer.status).toBe(422)
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    const token = eventToken(MODEL, '/mycontext', 'wrong')
    expect(await answer.json()).toMatchObject({
      reason: 'schema-mismatch',
      code: 'schema-mismatch',
      token,
      id: 'wrong',
    })
    const letters = await readStream(pipeline.connection, STREAMS.deadLetters)
    const letter = letters.find(({ headers: those }) => readHeader(those, HEADERS.token) === token)
    expect(letter?.headers.get('ce-comexample')).toBe('a%20b')
    expect(letter?.headers.get('ce-type')).toBe('com.example.someevent')
    expect(letter?.headers.get('ce-subject')).toBe('s')
  })

  test('is not predicted after its expirytime', async () => {
    const headers = { ...attributes('late'), 'ce-expirytime': '2020-01-01T00:00:00Z' }
    const answer = await later(await post(JSON.stringify(tensor(1, 2)), headers))
    expect([answer.status, await answer.json()]).toMatchObject([504, { reason: 'deadline-exceeded' }])
  })

  test('goes to the lane that its address names', async () => {
    const accepted = await post(JSON.stringify(tensor(1, 2)), attributes('low'), '?lane=low')
    expect(await accepted.clone().json()).toMatchObject({ lane: 'low' })
    expect((await later(accepted)).status).toBe(200)
  })

  test('of a caller with a key has the source of the key', async () => {
    await gateway.app.close()
    await listen({ ...OPEN_CALLER, keyId: 'k1', source: 'key/k1' })
    const accepted = await post(JSON.stringify(tensor(1, 2)), attributes('keyed'))
    expect(accepted.headers.get('pelton-source')).toBe('key/k1')
    const token = eventToken(MODEL, 'key/k1', 'keyed')
    expect(await accepted.clone().json()).toMatchObject({ token, source: 'key/k1' })
    expect((await later(accepted)).status).toBe(200)
  })

  test('that is refused leaves nothing in the stream', async () => {
    const before = await pipeline.lastIn(STREAMS.features)
    const { 'ce-id': _id, ...without } = attributes('x')
    const refused = [
      [await post('{}', without), 400, 'ce-id'],
      [await post('[]', { 'content-type': 'application/cloudevents-batch+json' }), 415, 'Content-Type'],
      [await post('{"id": 1', { 'content-type': 'application/cloudevents+json' }), 400, 'data'],
      [await post('<a/>', { ...attributes('x'), 'content-type': 'application/xml' }), 415, 'Content-Type'],
    ] as const
    for (const [answer, status, field] of refused)
      expect([answer.status, await answer.json()]).toMatchObject([
        status,
        { field, remedy: expect.any(String) },
      ])
    expect(await pipeline.lastIn(STREAMS.features)).toBe(before)
    expect(gateway.ended.map(({ ended, status }) => [ended, status])).toEqual(
      refused.map(([, status]) => ['refused', status]),
    )
  })
})
