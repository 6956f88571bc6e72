import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createKey } from '../../shared/operations/keys/keys.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeResponse, encodeRequest } from '../../shared/sdk/contract/open-inference.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readStream } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

const MODEL = 'identity-fp32'

let models: Awaited<ReturnType<typeof modelsFolder>>
let pipeline: Pipeline
const gateways: GatewayProcess[] = []
let url: string

beforeAll(async () => {
  models = await modelsFolder([MODEL])
  pipeline = await openPipeline({ models: models.path })
  await pipeline.startWorker()
  url = await start()
})

afterAll(async () => {
  await Promise.all(gateways.map((each) => each.end()))
  await pipeline?.close()
  await models?.remove()
})

/** Starts a gateway that is ended with all others. */
async function start(env: NodeJS.ProcessEnv = {}): Promise<string> {
  const gateway = await startGateway({ url: pipeline.broker.url, env })
  gateways.push(gateway)
  return gateway.address
}

const tensor = (...data: number[]) => ({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data }] })
const outputOf = (body: { outputs?: { data: number[] }[] }) => body.outputs?.[0]?.data

const attributes = (id: string) => ({
  'ce-specversion': '1.0',
  'ce-type': 'com.example.someevent',
  'ce-source': '/mycontext',
  'ce-id': id,
})

function post(
  body: string | Uint8Array,
  headers: Record<string, string>,
  { query = '', at = url } = {},
): Promise<Response> {
  return fetch(`${at}/v1/models/${MODEL}/events${query}`, {
    method: 'POST',
    body: Buffer.from(body),
    headers,
  })
}

/** What became of an accepted event, by its Location; waits as callers do. */
async function later(accepted: Response, headers: Record<string, string> = {}, at = url): Promise<Response> {
  expect(accepted.status).toBe(202)
  const location = accepted.headers.get('location')
  return eventually('the result', async () => {
    const answer = await fetch(`${at}${location}`, { headers: { prefer: 'wait=10', ...headers } })
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
    // A dead letter is stored after its notice, which is what was answered.
    const letter = await eventually('its dead letter', async () => {
      const letters = await readStream(pipeline.connection, STREAMS.deadLetters)
      return letters.find(({ headers: those }) => readHeader(those, HEADERS.token) === token)
    })
    expect(letter.headers.get('ce-comexample')).toBe('a%20b')
    expect(letter.headers.get('ce-type')).toBe('com.example.someevent')
    expect(letter.headers.get('ce-subject')).toBe('s')
  })

  test('is not predicted after its expirytime', async () => {
    const headers = { ...attributes('late'), 'ce-expirytime': '2020-01-01T00:00:00Z' }
    const answer = await later(await post(JSON.stringify(tensor(1, 2)), headers))
    expect([answer.status, await answer.json()]).toMatchObject([504, { reason: 'deadline-exceeded' }])
  })

  test('goes to the lane that its address names', async () => {
    const accepted = await post(JSON.stringify(tensor(1, 2)), attributes('low'), { query: '?lane=low' })
    expect(await accepted.clone().json()).toMatchObject({ lane: 'low' })
    expect((await later(accepted)).status).toBe(200)
  })

  test('of a caller with a key has the source of the key', async () => {
    const at = await start({ PELTON_GATEWAY_KEYS: 'always' })
    const [one, other] = [await newKey(), await newKey()]
    const body = JSON.stringify(tensor(1, 2))
    const accepted = await post(body, { ...attributes('keyed'), 'x-api-key': one.text }, { at })
    const source = `key/${one.id}`
    expect(accepted.headers.get('pelton-source')).toBe(source)
    const token = eventToken(MODEL, source, 'keyed')
    expect(await accepted.clone().json()).toMatchObject({ token, source })
    expect((await later(accepted, { 'x-api-key': one.text }, at)).status).toBe(200)
    expect((await later(accepted, { 'x-api-key': other.text }, at)).status).toBe(404)
    // Its own source, of two callers, is not the same event.
    const second = await post(body, { ...attributes('keyed'), 'x-api-key': other.text }, { at })
    expect(await second.json()).toMatchObject({ duplicate: false, source: `key/${other.id}` })
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
  })

  test('with more values than are taken is refused, in either mode', async () => {
    const at = await start({ PELTON_GATEWAY_MAX_ELEMENTS: '20', PELTON_GATEWAY_MAX_DEPTH: '5' })
    const json = 'application/cloudevents+json'
    const envelope = { specversion: '1.0', type: 't', source: '/mycontext', id: 'large' }
    const large = tensor(...Array.from({ length: 20 }, () => 1))
    const deep = { inputs: [[[[[1]]]]] }
    for (const [data, status] of [
      [large, 413],
      [deep, 400],
    ] as const) {
      const binary = await post(JSON.stringify(data), attributes('large'), { at })
      const structured = await post(JSON.stringify({ ...envelope, data }), { 'content-type': json }, { at })
      expect([binary.status, structured.status]).toEqual([status, status])
    }
  })
})

async function newKey(): Promise<{ readonly id: string; readonly text: string }> {
  const window = new PublishWindow(pipeline.connection)
  const wish = { name: 'test', models: 'all', pool: 'default', highestLane: 'high', by: 'test' } as const
  const { text, key } = await createKey({ connection: pipeline.connection, window }, wish)
  window.close()
  return { id: key.id, text }
}
