import { once } from 'node:events'
import { copyFile, mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEMO_MODELS, EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { createKey, type NewKey } from '../../shared/operations/keys/keys.ts'
import { PROBLEM_TYPE } from '../../shared/runtime/http.ts'
import { decodeResponse, encodeRequest } from '../../shared/sdk/contract/open-inference.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { eventually } from '../kit/wait.ts'

/** Models of these names and this file: what names may have, but slashes, which no folder has. */
const ODD_NAMES = ['a.b', '%41', 'modèle é', 'infer', 'stats', 'two words?#']

let folder: Awaited<ReturnType<typeof modelsFolder>>
let pipeline: Pipeline
let gateway: GatewayProcess
const others: GatewayProcess[] = []

beforeAll(async () => {
  folder = await modelsFolder(['several', 'identity-bytes', 'rank-0', 'counts-up'])
  for (const name of ODD_NAMES) await addModel(name, '1', 'linear')
  await addModel('linear', '9', 'linear')
  await addModel('linear', '10', 'linear')
  for (const file of ['model.onnx', 'pelton.yaml', 'manifest.yaml', 'pelton.json'])
    await copyDemo(file).catch(() => undefined)
  pipeline = await openPipeline({ models: folder.path })
  await pipeline.startWorker()
  gateway = await startGateway({ url: pipeline.broker.url, env: { PELTON_HTTP_PORT: '0' } })
  const count = ODD_NAMES.length + 7
  await eventually('all models to be served', async () => (await indexOf({ ready: true })).length >= count)
})

afterAll(async () => {
  await Promise.all([gateway, ...others].map((each) => each?.end()))
  await pipeline?.close()
  await folder?.remove()
})

async function addModel(name: string, version: string, fixture: string): Promise<void> {
  const path = join(folder.path, name, version)
  await mkdir(path, { recursive: true })
  await copyFile(join(import.meta.dirname, '../models', `${fixture}.onnx`), join(path, 'model.onnx'))
}

async function copyDemo(file: string): Promise<void> {
  const path = join(folder.path, 'flight-delay', '2')
  await mkdir(path, { recursive: true })
  await copyFile(join(DEMO_MODELS, 'flight-delay', '2', file), join(path, file))
}

/** One more gateway, in a way of its own. */
async function another(env: NodeJS.ProcessEnv): Promise<GatewayProcess> {
  const started = await startGateway({ url: pipeline.broker.url, env })
  others.push(started)
  return started
}

/** A gateway that wants keys, and the headers of a caller with such a key. */
async function keyed(wish: Partial<NewKey>) {
  const window = new PublishWindow(pipeline.connection)
  const key = {
    name: 'test',
    models: 'all',
    pool: 'default',
    highestLane: 'high',
    by: 'test',
    ...wish,
  } as const
  const { text } = await createKey({ connection: pipeline.connection, window }, key)
  window.close()
  return { at: await another({ PELTON_GATEWAY_KEYS: 'always' }), headers: { 'x-api-key': text } }
}

/** Requests for a model that were counted so. */
async function counted(labels: Readonly<Record<string, string>>): Promise<number> {
  const { address } = gateway.log.find(({ msg }) => msg === 'listening') ?? {}
  const scrape = readPrometheus(await (await fetch(`${address}/metrics`)).text())
  return scrape.value('pelton_gateway_requests_total', { protocol: 'open-inference', ...labels }) ?? 0
}

interface Got {
  readonly status: number
  readonly type: string | null
  readonly headers: Headers
  readonly bytes: Buffer
  readonly body: Readonly<Record<string, unknown>>
}

async function call(path: string, init: RequestInit = {}, at = gateway): Promise<Got> {
  const response = await fetch(`${at.address}${path}`, init)
  const bytes = Buffer.from(await response.arrayBuffer())
  const isJson = response.headers.get('content-type')?.includes('json') ?? false
  const { status, headers } = response
  const body = isJson ? JSON.parse(bytes.toString()) : {}
  return { status, type: headers.get('content-type'), headers, bytes, body }
}

function post(
  path: string,
  body: object | string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
  at = gateway,
): Promise<Got> {
  const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  // Given bytes, fetch sends no Content-Type, as Triton's client does.
  return call(path, { method: 'POST', body: new Uint8Array(Buffer.from(bytes)), headers }, at)
}

async function indexOf(body: object): Promise<readonly Record<string, string>[]> {
  return (await post('/v2/repository/index', body)).body as unknown as readonly Record<string, string>[]
}

const ROW = { name: 'x', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] } as const
const SCORE = { name: 'score', datatype: 'FP32', shape: [1, 1], data: [14.5] }

describe('the server', () => {
  test('says what it is, and which extensions it has', async () => {
    const { status, type, body } = await call('/v2')
    expect({ status, type }).toEqual({ status: 200, type: 'application/json' })
    expect(body).toEqual({
      name: 'pelton',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      extensions: ['binary_tensor_data', 'schedule_policy', 'statistics'],
    })
  })

  test('answers health with bodies, which KServe`s client reads', async () => {
    expect((await call('/v2/health/live')).body).toEqual({ live: true })
    expect((await call('/v2/health/ready')).body).toEqual({ ready: true })
  })

  test.each([
    ['POST', '/v2/repository/models/linear/load', 501],
    ['POST', '/v2/repository/models/linear/unload', 501],
    ['GET', '/v2/models/linear/config', 501],
    ['GET', '/v2/models/linear/versions/9/config', 501],
    ['POST', '/v2/models/linear/generate', 501],
    ['POST', '/v2/models/linear/generate_stream', 501],
    ['GET', '/v2/logging', 501],
    ['POST', '/v2/trace/setting', 501],
    ['GET', '/v2/models/linear/trace/setting', 501],
    ['GET', '/v2/systemsharedmemory/status', 501],
    ['POST', '/v2/cudasharedmemory/region/x/register', 501],
    ['GET', '/v2/models/linear/infer', 405],
    ['POST', '/v2/models/linear', 405],
    ['GET', '/v2/models//infer', 404],
    ['GET', '/v2/models/nobody', 404],
    ['GET', '/v2/models/linear/versions/77', 404],
    ['GET', '/v2/models/linear/versions/77/ready', 404],
    ['GET', '/v2/models/linear/versions/__proto__', 404],
    ['GET', '/v2/models/nobody/stats', 404],
    ['GET', '/v2/models/..%2F..%2Fetc%2Fpasswd', 400],
    ['GET', '/v2/models/a%252Fb', 400],
  ])('answers %s %s with an error of its own: %i', async (method, path, expected) => {
    const { status, type, body } = await call(path, { method })
    expect({ status, type }).toEqual({ status: expected, type: 'application/json' })
    expect(body.error).toMatch(/\w+/)
  })
})

describe('a model', () => {
  test('has metadata from its pool`s record', async () => {
    expect((await call('/v2/models/linear')).body).toEqual({
      name: 'linear',
      versions: ['9', '10'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }],
      outputs: [{ name: 'score', datatype: 'FP32', shape: [-1, 1] }],
    })
    expect((await call('/v2/models/linear/versions/9')).body).toMatchObject({ versions: ['9'] })
    expect((await call('/v2/models/rank-0')).body).toMatchObject({ inputs: [{ shape: [] }] })
  })

  test('is ready in the versions that a worker serves', async () => {
    expect((await call('/v2/models/linear/ready')).body).toEqual({ name: 'linear', ready: true })
    expect((await call('/v2/models/linear/versions/10/ready')).status).toBe(200)
  })

  test.each(ODD_NAMES)('is found by any name: %s', async (name) => {
    const path = `/v2/models/${name === 'stats' ? '%73tats' : encodeURIComponent(name)}`
    expect((await call(path)).body).toMatchObject({ name })
    expect((await call(`${path}/versions/1/ready`)).body).toEqual({ name, ready: true })
    const { body } = await post(`${path}/versions/1/infer`, { inputs: [ROW] })
    expect(body).toMatchObject({ model_name: name, model_version: '1', outputs: [SCORE] })
  })

  test('stands in the repository index, by POST without a body or GET', async () => {
    const entries = (await call('/v2/repository/index', { method: 'POST' })).body
    expect(entries).toContainEqual({ name: 'linear', version: '9', state: 'READY', reason: '' })
    expect((await call('/v2/repository/index')).body).toEqual(entries)
    expect((await post('/v2/repository/index', '{"ready":7}')).status).toBe(400)
    expect((await post('/v2/repository/index', 'x')).status).toBe(400)
    const { models } = (await call('/v2/models')).body
    expect(new Set(models as readonly string[])).toEqual(
      new Set((await indexOf({ ready: true })).map(({ name }) => name)),
    )
  })

  test('that its caller may not use is nowhere', async () => {
    const { at, headers } = await keyed({ models: ['linear'] })
    expect((await call('/v2/models', { headers }, at)).body).toEqual({ models: ['linear'] })
    expect((await call('/v2/models/several', { headers }, at)).status).toBe(404)
    expect((await call('/v2/models/linear', { headers }, at)).status).toBe(200)
    expect((await call('/v2/models/linear', {}, at)).status).toBe(401)
    expect((await call('/v2/health/live', {}, at)).status).toBe(200)
  })

  test('has statistics of this gateway, and zeros before', async () => {
    const other = await another({})
    const statsOf = async (path: string) => (await call(path, {}, other)).body.model_stats
    const zero = { inference_count: 0, inference_stats: { success: { count: 0, ns: 0 } } }
    expect(await statsOf('/v2/models/linear/versions/9/stats')).toMatchObject([
      { name: 'linear', version: '9', ...zero },
    ])
    expect(await statsOf('/v2/models/linear/stats')).toHaveLength(2)
    expect(await statsOf('/v2/models/stats')).toEqual([])
    await post('/v2/models/linear/versions/9/infer', { inputs: [ROW] }, {}, other)
    expect(await statsOf('/v2/models/stats')).toMatchObject([
      {
        name: 'linear',
        version: '9',
        inference_count: 1,
        execution_count: 1,
        inference_stats: { success: { count: 1 } },
      },
    ])
  })
})

describe('infer', () => {
  test('answers JSON with JSON of exactly that type, and the id it was given', async () => {
    const { status, type, body, headers } = await post('/v2/models/linear/infer', {
      id: 'mine',
      inputs: [ROW],
    })
    expect({ status, type }).toEqual({ status: 200, type: 'application/json' })
    expect(body).toEqual({ model_name: 'linear', model_version: '10', id: 'mine', outputs: [SCORE] })
    expect(headers.get('pelton-token')).toMatch(/^[\w-]{22}$/)
    expect(headers.get('pelton-model-version')).toBe('10')
    expect(Number(headers.get('pelton-inference-ms'))).toBeGreaterThanOrEqual(0)
    expect(
      await counted({ model: 'linear', ended: 'prediction', http_response_status_code: '200' }),
    ).toBeGreaterThan(0)
  })

  test('answers raw tensors with raw tensors, and each form with the other', async () => {
    const inputs = [{ ...ROW, data: new Float32Array(ROW.data) }]
    for (const isIn of [false, true]) {
      for (const isOut of [false, true]) {
        const asked = { inputs, id: 'x', parameters: { binary_data_output: isOut } }
        const { body, inferenceHeaderLength } = encodeRequest(asked, { binary: isIn })
        const length =
          inferenceHeaderLength === undefined
            ? {}
            : { 'Inference-Header-Content-Length': String(inferenceHeaderLength) }
        const got = await post('/v2/models/linear/infer', body, length)
        expect(got.type).toBe(isOut ? 'application/octet-stream' : 'application/json')
        const answered = got.headers.get('inference-header-content-length')
        expect(answered !== null).toBe(isOut)
        const { outputs, id } = decodeResponse(got.type ?? '', answered ?? undefined, got.bytes)
        expect(id).toBe('x')
        expect(outputs).toEqual([{ ...SCORE, data: new Float32Array(SCORE.data) }])
      }
    }
  })

  test.each([undefined, 'text/plain', 'application/octet-stream', 'application/json; charset=utf-8', 'a/b'])(
    'takes the Content-Type %s',
    async (type) => {
      const headers = type === undefined ? {} : { 'content-type': type }
      expect((await post('/v2/models/linear/infer', { inputs: [ROW] }, headers)).body.outputs).toEqual([
        SCORE,
      ])
    },
  )

  test('reads compressed bodies, of which the header counts the JSON before it was compressed', async () => {
    const inputs = [{ ...ROW, data: new Float32Array(ROW.data) }]
    const { body, inferenceHeaderLength } = encodeRequest({ inputs }, { binary: true })
    const headers = {
      'content-encoding': 'gzip',
      'accept-encoding': 'deflate',
      'Inference-Header-Content-Length': String(inferenceHeaderLength),
    }
    const got = await post('/v2/models/linear/infer', gzipSync(body), headers)
    expect(got.body.outputs).toEqual([SCORE])
  })

  test('takes the features of one row', async () => {
    const { status, body } = await post('/v2/models/flight-delay/infer', { features: EXAMPLE_FLIGHT })
    expect(body).toMatchObject({ model_name: 'flight-delay' })
    expect(status).toBe(200)
  })

  test('takes the parameters that Triton`s client sends', async () => {
    const parameters = {
      ...{ sequence_id: 7, sequence_start: true, sequence_end: false, priority: 1, timeout: 30_000_000 },
      ...{ binary_data_output: false, mine: 'x', rate: 0.5 },
    }
    const outputs = [{ name: 'score', parameters: { binary_data: false } }]
    const { body } = await post('/v2/models/linear/infer', { id: '1', inputs: [ROW], outputs, parameters })
    expect(body.outputs).toEqual([SCORE])
  })

  test.each([
    [1, 'features.default.linear.high'],
    [2, 'features.default.linear.normal'],
    [0, 'features.default.linear.normal'],
    [3, 'features.default.linear.low'],
    [99, 'features.default.linear.low'],
  ])('sends priority %i to %s', async (priority, subject) => {
    const seen = pipeline.connection.subscribe('features.default.linear.*', { max: 1 })
    await pipeline.connection.flush()
    const got = await post('/v2/models/linear/infer', { inputs: [ROW], parameters: { priority } })
    expect(got.status).toBe(200)
    for await (const message of seen) expect(message.subject).toBe(subject)
  })

  test('says that a lane was lowered', async () => {
    const { at, headers: key } = await keyed({ highestLane: 'normal' })
    const asked = { inputs: [ROW], parameters: { priority: 1 } }
    const { headers } = await post('/v2/models/linear/infer', asked, key, at)
    expect(headers.get('pelton-lane')).toBe('normal; lowered-from=high')
    expect((await post('/v2/models/linear/infer', asked)).headers.get('pelton-lane')).toBeNull()
  })

  test('answers a dead letter with its reason, field, value and remedy, and the token of it', async () => {
    const wrong = { ...ROW, shape: [1, 2], data: [1, 2] }
    const { status, type, body, headers } = await post('/v2/models/linear/infer', {
      id: 'w',
      inputs: [wrong],
    })
    expect({ status, type }).toEqual({ status: 422, type: 'application/json' })
    expect(body).toMatchObject({
      ...{ reason: 'schema-mismatch', code: 'schema-mismatch', status: 422, stage: 'validate', id: 'w' },
      ...{ model: 'linear', type: 'https://pelton.dev/problems/schema-mismatch' },
    })
    expect(body.error).toBe(body.detail)
    for (const name of ['field', 'value', 'remedy']) expect(body[name]).toMatch(/\S/)
    expect(body.token).toBe(headers.get('pelton-token'))
    // It is stored after its notice, which is what was answered.
    await eventually('its dead letter', () =>
      lastOfSubject(pipeline.connection, STREAMS.deadLetters, `deadletters.linear.${body.token}`),
    )
    const failure = { ended: 'failure', http_response_status_code: '422', reason: 'schema-mismatch' }
    expect(await counted({ model: 'linear', ...failure })).toBe(1)
  })

  test('writes errors as problems where Accept asks for them', async () => {
    const accept = { accept: 'application/problem+json' }
    expect((await post('/v2/models/linear/infer', { inputs: [] }, accept)).type).toBe(PROBLEM_TYPE)
    expect((await post('/v2/models/linear/infer', '{', accept)).type).toBe(PROBLEM_TYPE)
  })

  test.each([
    ['classification', { outputs: [{ name: 'score', parameters: { classification: 2 } }] }],
    ['shared memory', { outputs: [{ name: 'score', parameters: { shared_memory_region: 'r' } }] }],
    ['an unknown key', { foo: 1 }],
  ])('refuses what is not offered, by a dead letter that names it: %s', async (_what, more) => {
    const { status, body } = await post('/v2/models/linear/infer', { inputs: [ROW], ...more })
    expect({ status, reason: body.reason }).toEqual({ status: 400, reason: 'malformed' })
    expect(body.remedy).toMatch(/\S/)
  })

  test('makes no event of what is no request, and says where it ends to be one', async () => {
    const before = await pipeline.lastIn(STREAMS.features)
    const path = '/v2/models/linear/infer'
    const long = { 'Inference-Header-Content-Length': '900' }
    const refused = [
      await post(path, '{"inputs":[}'),
      await post(path, '[]'),
      await post(path, ''),
      await call(path, { method: 'POST' }),
      await post(path, { inputs: [ROW] }, long),
      await post(path, { inputs: [ROW] }, { 'Inference-Header-Content-Length': '-1' }),
      await post(path, { inputs: [ROW] }, { 'Inference-Header-Content-Length': '0' }),
      await post(path, { inputs: [ROW], parameters: { timeout: '5' } }),
      await post(path, { inputs: [ROW], parameters: { timeout: -1 } }),
      await post(path, { inputs: [ROW], parameters: { priority: 1.5 } }),
      await post(path, { inputs: [ROW] }, { 'idempotency-key': '"' }),
    ]
    expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 400))
    expect(refused[0]?.body.error).toContain('byte 11')
    expect(refused.map(({ type }) => type)).toEqual(refused.map(() => 'application/json'))
    expect((await post('/v2/models/nobody/infer', { inputs: [ROW] })).status).toBe(404)
    expect(
      await counted({ ended: 'refused', http_response_status_code: '404', reason: 'unknown-model' }),
    ).toBe(1)
    expect(await pipeline.lastIn(STREAMS.features)).toBe(before)
  })

  test('refuses JSON beyond its limits before it becomes an event', async () => {
    const other = await another({ PELTON_GATEWAY_MAX_ELEMENTS: '5', PELTON_GATEWAY_MAX_DEPTH: '3' })
    const path = '/v2/models/linear/infer'
    expect((await post(path, { inputs: [ROW] }, {}, other)).status).toBe(413)
    expect((await post(path, { a: [[[]]] }, {}, other)).body.error).toContain('3 levels')
  })

  test('answers 202 where that was asked for, and never else', async () => {
    const asked = { id: 'later', inputs: [ROW] }
    const prefer = { prefer: 'respond-async, wait=0' }
    const { status, type, body, headers } = await post('/v2/models/linear/infer', asked, prefer)
    expect({ status, type }).toEqual({ status: 202, type: 'application/json' })
    expect(headers.get('location')).toBe(body.result)
    expect(headers.get('preference-applied')).toContain('respond-async')
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect(body).toMatchObject({ id: 'later', model: 'linear', pool: 'default', lane: 'normal' })
    const later = await call(`${headers.get('location')}`, { headers: { prefer: 'wait=30' } })
    expect(later.body).toMatchObject({ id: 'later', outputs: [SCORE] })
    expect(await counted({ ended: 'accepted', http_response_status_code: '202' })).toBe(1)
    expect((await post('/v2/models/linear/infer', asked, { prefer: 'wait=0' })).status).toBe(200)
  })

  test('answers 504 with token and Location when the time of the caller is over', async () => {
    const [{ pid } = { pid: 0 }] = pipeline.workers
    process.kill(pid, 'SIGSTOP')
    const asked = { id: 'slow', inputs: [ROW], parameters: { timeout: 200_000 } }
    const { status, type, body, headers } = await post('/v2/models/linear/infer', asked)
    process.kill(pid, 'SIGCONT')
    expect({ status, type }).toEqual({ status: 504, type: 'application/json' })
    expect(body).toMatchObject({
      code: 'timeout',
      id: 'slow',
      model: 'linear',
      token: headers.get('pelton-token'),
    })
    const later = await call(`${headers.get('location')}`, { headers: { prefer: 'wait=30' } })
    expect(later).toMatchObject({ status: 504, body: { reason: 'deadline-exceeded', token: body.token } })
  })

  test('counts a caller that left, and answers the next one', async () => {
    const body = JSON.stringify({ inputs: [ROW], parameters: { timeout: 60_000_000 } })
    await pipeline.endWorkers()
    const { hostname, port } = new URL(gateway.address)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    const before = await pipeline.lastIn(STREAMS.features)
    socket.write(
      `POST /v2/models/linear/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await eventually('the event to be stored', async () => (await pipeline.lastIn(STREAMS.features)) > before)
    socket.destroy()
    const left = { model: 'linear', ended: 'left', http_response_status_code: '499' }
    await eventually('the caller to be counted as gone', async () => (await counted(left)) === 1)
    await pipeline.startWorker()
    expect((await post('/v2/models/linear/infer', { inputs: [ROW] })).status).toBe(200)
  })
})
