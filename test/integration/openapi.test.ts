import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import type { OpenApiDocument } from '../../shared/runtime/openapi.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import type { Answer, CallOptions, ServiceProcess } from '../kit/service-process.ts'
import { PATIENT } from '../kit/wait.ts'
import { type ControlProcess, startControl } from './control-process.ts'

let stage: Pipeline
let dataDir: string
let gateway: GatewayProcess
let locked: GatewayProcess
let control: ControlProcess

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'pelton-openapi-'))
  stage = await openPipeline()
  const { url } = stage.broker
  const { env } = stage
  ;[gateway, locked, control] = await Promise.all([
    startGateway({ url, env }),
    startGateway({ url, env: { ...env, PELTON_GATEWAY_KEYS: 'always' } }),
    startControl({ url, dataDir, env }),
    stage.startWorker(),
  ])
  await vi.waitFor(async () => {
    expect((await gateway.call('GET', '/v2/models/flight-delay/ready')).status).toBe(200)
  }, PATIENT)
})

afterAll(async () => {
  const services = [gateway, locked, control]
  for (const service of services) service?.kill('SIGKILL')
  await Promise.all(services.map((service) => service?.ended))
  await stage?.close()
  await rm(dataDir, { recursive: true, force: true })
})

const documentOf = async (service: ServiceProcess): Promise<OpenApiDocument> =>
  (await service.call('GET', '/openapi.json', { headers: { authorization: '' } })).json

interface DescribedAnswer {
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>
  readonly headers?: Readonly<Record<string, unknown>>
}

/** Fails unless an answer is one that its document names for the operation: status, type of content, and what it holds. */
function expectDescribed(document: OpenApiDocument, [method, path]: [string, string], answer: Answer): void {
  const operation = document.paths[path]?.[method.toLowerCase()] as
    | { readonly responses: Readonly<Record<string, DescribedAnswer>> }
    | undefined
  const described = operation?.responses[answer.status] ?? operation?.responses.default
  const type = answer.headers.get('content-type')?.split(';')[0] ?? ''
  expect(Object.keys(described?.content ?? {}), `${method} ${path}: ${answer.text}`).toContain(type)
  const schema = described?.content?.[type]?.schema
  if (schema === undefined || !type.includes('json') || type.includes('ndjson')) return
  const { error } = readerOf(document, schema).safeParse(answer.json)
  expect(error?.issues ?? [], `${method} ${path}: ${answer.text}`).toEqual([])
}

/**
 * Reads by a schema of a document, with the components that it names. What an object of the document does not have is
 * refused, unless the document says that there may be more.
 */
function readerOf({ components }: OpenApiDocument, schema: object): z.ZodType {
  const text = JSON.stringify({ ...schema, $defs: components.schemas })
  const closed: unknown = JSON.parse(
    text.replaceAll('#/components/schemas/', '#/$defs/'),
    (_key, value: { readonly type?: unknown; readonly properties?: unknown } | undefined) =>
      value?.type === 'object' && value.properties !== undefined
        ? { additionalProperties: false, ...value }
        : value,
  )
  return z.fromJSONSchema(closed as Parameters<typeof z.fromJSONSchema>[0])
}

interface Call {
  readonly status: number
  readonly method: string
  /** The path as the document has it. */
  readonly described: string
  readonly path: string
  readonly options: CallOptions
}

function row(
  status: number,
  method: string,
  described: string,
  path: string,
  options: CallOptions = {},
): Call {
  return { status, method, described, path, options }
}

const MODEL = '/v2/models/{model_name}'
const VERSION = `${MODEL}/versions/{model_version}`
const FLIGHT = '/v2/models/flight-delay'
const features = { features: EXAMPLE_FLIGHT }
const cloudEvent = {
  ...{ specversion: '1.0', id: 'e1', source: 'crm', type: 'flight', datacontenttype: 'application/json' },
  data: features,
}
const structured = (event: object): CallOptions => ({
  raw: { type: 'application/cloudevents+json', text: JSON.stringify(event) },
})
const EVENTS = '/v1/models/{model_name}/events'

/** Statuses, and how they come about. */
const GATEWAY_CALLS: readonly Call[] = [
  row(200, 'GET', '/v2', '/v2'),
  row(200, 'GET', '/v2/health/live', '/v2/health/live'),
  row(200, 'GET', '/v2/health/ready', '/v2/health/ready'),
  row(200, 'GET', '/v2/models', '/v2/models'),
  row(200, 'GET', '/v2/models/stats', '/v2/models/stats'),
  row(200, 'GET', '/v2/repository/index', '/v2/repository/index'),
  row(200, 'POST', '/v2/repository/index', '/v2/repository/index', { body: { ready: true } }),
  row(400, 'POST', '/v2/repository/index', '/v2/repository/index', { body: { ready: 1 } }),
  row(200, 'GET', MODEL, FLIGHT),
  row(404, 'GET', MODEL, '/v2/models/none'),
  row(400, 'GET', MODEL, '/v2/models/%ff'),
  row(200, 'GET', VERSION, `${FLIGHT}/versions/2`),
  row(404, 'GET', VERSION, `${FLIGHT}/versions/99`),
  row(200, 'GET', `${MODEL}/ready`, `${FLIGHT}/ready`),
  row(404, 'GET', `${MODEL}/ready`, '/v2/models/none/ready'),
  row(200, 'GET', `${VERSION}/ready`, `${FLIGHT}/versions/2/ready`),
  row(200, 'GET', `${MODEL}/stats`, `${FLIGHT}/stats`),
  row(200, 'GET', `${VERSION}/stats`, `${FLIGHT}/versions/2/stats`),
  row(200, 'POST', `${MODEL}/infer`, `${FLIGHT}/infer`, { body: features }),
  row(200, 'POST', `${VERSION}/infer`, `${FLIGHT}/versions/2/infer`, { body: { id: 'x', ...features } }),
  row(202, 'POST', `${MODEL}/infer`, `${FLIGHT}/infer`, {
    body: features,
    headers: { prefer: 'respond-async' },
  }),
  row(400, 'POST', `${MODEL}/infer`, `${FLIGHT}/infer`, { raw: { type: 'application/json', text: '{' } }),
  row(400, 'POST', `${MODEL}/infer`, `${FLIGHT}/infer`, {
    raw: { type: 'a/b', text: '{' },
    headers: { accept: 'application/problem+json' },
  }),
  row(422, 'POST', `${MODEL}/infer`, `${FLIGHT}/infer`, { body: { features: { origin: 'DTW' } } }),
  row(404, 'POST', `${MODEL}/infer`, '/v2/models/none/infer', { body: features }),
  row(405, 'GET', `${MODEL}/infer`, `${FLIGHT}/infer`),
  row(202, 'POST', EVENTS, '/v1/models/flight-delay/events?lane=low', structured(cloudEvent)),
  row(200, 'POST', EVENTS, '/v1/models/flight-delay/events', {
    ...structured({ ...cloudEvent, id: 'e2' }),
    headers: { prefer: 'wait=30' },
  }),
  row(400, 'POST', EVENTS, '/v1/models/flight-delay/events', structured({ specversion: '1.0' })),
  row(400, 'POST', EVENTS, '/v1/models/flight-delay/events?lane=none', structured(cloudEvent)),
  row(415, 'POST', EVENTS, '/v1/models/flight-delay/events', {
    raw: { type: 'application/cloudevents+xml', text: '<' },
  }),
  row(404, 'GET', '/v1/results/{handle}', '/v1/results/none'),
]

describe('the gateway answers as its document says', () => {
  let document: OpenApiDocument
  beforeAll(async () => {
    document = await documentOf(gateway)
  })

  test.each(GATEWAY_CALLS)(
    '$status: $method $described ($path)',
    async ({ status, method, described, path, options }) => {
      // Another method is answered as any other refusal of the path.
      const real = status === 405 ? 'POST' : method
      const answer = await gateway.call(method, path, options)
      expect([answer.status, answer.text]).toEqual([status, expect.any(String)])
      expectDescribed(document, [real, described], answer)
    },
  )

  test('a result, while it is waited for and afterwards', async () => {
    const accepted = await gateway.call('POST', `${FLIGHT}/infer`, {
      body: features,
      headers: { prefer: 'respond-async' },
    })
    const path = accepted.headers.get('location') ?? ''
    const answer = await gateway.call('GET', path, { headers: { prefer: 'wait=30' } })
    expect(answer.status).toBe(200)
    expectDescribed(document, ['GET', '/v1/results/{handle}'], answer)
  })

  test('needs no key on loopback, and says so', () => {
    expect(document.security[0]).toEqual({})
  })
})

test('where keys are needed, the document and its page need none, and the rest answers 401', async () => {
  const document = await documentOf(locked)
  expect(document.security).toEqual([{ bearer: [] }, { apiKey: [] }])
  const page = await locked.call('GET', '/docs/')
  expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
  const asset = await locked.call('GET', '/docs/static/swagger-ui-bundle.js')
  expect([asset.status, asset.text.length > 1_000_000]).toEqual([200, true])
  expect((await locked.call('GET', '/docs')).headers.get('location')).toBe('docs/')
  for (const [method, path] of [
    ['GET', '/v2/models'],
    ['POST', '/v1/models/{model_name}/events'],
    ['GET', '/v1/results/{handle}'],
  ] as const) {
    const answer = await locked.call(method, path.replace('{model_name}', 'm').replace('{handle}', 'h'))
    expect([path, answer.status]).toEqual([path, 401])
    expectDescribed(document, [method, path], answer)
  }
})

/** Of a request that calls an address by another name: `fetch` sets none. */
async function statusAt(url: string, host: string): Promise<number | undefined> {
  const [response] = await once(get(url, { headers: { host } }), 'response')
  response.resume()
  return response.statusCode
}

const LETTERS = '/v1/dead-letters'
const TASK = '/v1/replays/{task}'

describe('control answers as its document says', () => {
  let document: OpenApiDocument
  let token = ''

  beforeAll(async () => {
    document = await documentOf(control)
    token = await stage.publish({ id: 'broken', body: { features: { origin: 'DTW' } } })
    await stage.settled([token])
  })

  const CALLS: readonly Call[] = [
    ...[
      '/livez',
      '/readyz',
      '/v1/status',
      '/v1/watch',
      LETTERS,
      `${LETTERS}/counts`,
      `${LETTERS}/history`,
    ].map((path) => row(200, 'GET', path, path)),
    row(200, 'GET', LETTERS, `${LETTERS}?model=flight-delay&limit=1&first=newest`),
    row(400, 'GET', LETTERS, `${LETTERS}?limit=none`),
    row(404, 'GET', `${LETTERS}/{which}`, `${LETTERS}/4711`),
    row(200, 'POST', '/v1/audit', '/v1/audit'),
    row(200, 'GET', '/v1/audit', '/v1/audit'),
    row(200, 'POST', '/v1/replays/plan', '/v1/replays/plan', { body: { filter: { model: 'flight-delay' } } }),
    row(200, 'POST', `${LETTERS}/discard`, `${LETTERS}/discard`, {
      body: { filter: { model: 'x' }, because: 'y' },
    }),
    row(400, 'POST', `${LETTERS}/discard`, `${LETTERS}/discard`, { body: { because: 'y' } }),
    row(200, 'POST', `${LETTERS}/purge`, `${LETTERS}/purge`, {
      body: { subject: 'p', because: 'y', confirm: true },
    }),
    row(200, 'POST', `${LETTERS}/export`, `${LETTERS}/export`),
    row(200, 'POST', `${LETTERS}/import`, `${LETTERS}/import`, {
      raw: { type: 'application/x-ndjson', text: '' },
    }),
    row(200, 'POST', '/v1/replays', '/v1/replays', { body: { filter: { model: 'none' } } }),
    row(200, 'GET', '/v1/replays', '/v1/replays'),
    row(404, 'GET', TASK, '/v1/replays/none'),
    row(404, 'POST', `${TASK}/pause`, '/v1/replays/none/pause'),
    row(404, 'POST', `${TASK}/cancel`, '/v1/replays/none/cancel'),
    row(404, 'POST', `${TASK}/resume`, '/v1/replays/none/resume'),
  ]

  test.each(CALLS)(
    '$status: $method $described ($path)',
    async ({ status, method, described, path, options }) => {
      const answer = await control.call(method, path, options)
      expect([answer.status, answer.text]).toEqual([status, expect.any(String)])
      expectDescribed(document, [method, described], answer)
    },
  )

  test('a dead letter, and a replay of it from its start on', async () => {
    const [one, payload] = await Promise.all([
      control.call('GET', `${LETTERS}/${token}`),
      control.call('GET', `${LETTERS}/${token}/payload`),
    ])
    expectDescribed(document, ['GET', `${LETTERS}/{which}`], one)
    expectDescribed(document, ['GET', `${LETTERS}/{which}/payload`], payload)
    const patch = [{ op: 'replace', path: '/features', value: EXAMPLE_FLIGHT }]
    const started = await control.call('POST', '/v1/replays', {
      body: { filter: { model: 'flight-delay' }, patch },
    })
    expect([started.status, started.text]).toEqual([202, expect.any(String)])
    expectDescribed(document, ['POST', '/v1/replays'], started)
    const read = await control.call('GET', started.headers.get('location') ?? '')
    expect(read.status).toBe(200)
    expectDescribed(document, ['GET', TASK], read)
  })

  test('its document and page need no token, and hold to the names it is called by', async () => {
    const none = { headers: { authorization: '' } }
    expect((await control.call('GET', '/docs/', none)).status).toBe(200)
    expect((await control.call('GET', '/v1/watch', none)).status).toBe(401)
    expectDescribed(document, ['GET', '/v1/watch'], await control.call('GET', '/v1/watch', none))
    expect(await statusAt(`${control.address}/openapi.json`, 'rebound.example')).toBe(421)
  })
})
