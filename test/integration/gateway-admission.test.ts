import { isDeepStrictEqual } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readKey } from '../../shared/operations/keys/key-text.ts'
import { createKey, type NewKey } from '../../shared/operations/keys/keys.ts'
import { sourceDigest } from '../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { type FlowSpeaker, speakFlow } from '../kit/flow.ts'
import { type Answer, type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { eventually } from '../kit/wait.ts'

const MODEL = 'identity-fp32'
const INPUTS = [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }]
const PRIORITY: Readonly<Record<Lane, number>> = { high: 1, normal: 2, low: 3 }
/** Of it 80 s may be waited in `high`, 40 s in `normal`, 20 s in `low`: a word of the flow that comes late changes little. */
const DEADLINE_MS = 100_000
/** As much as workers hold of the highest lane is ahead of all. */
const ahead = (seconds: number) => ({ heldS: { high: seconds } })
/** What refuses `low` alone, whatever waits. */
const lowGate = { limit: 'breaker', lanes: ['low'], value: 1, measured: 2, retryAfterMs: 1_000 } as const
/** More than any lane may wait. */
const FULL = ahead(90)

let folder: Awaited<ReturnType<typeof modelsFolder>>
let pipeline: Pipeline
let open: GatewayProcess
let keyed: GatewayProcess
let flow: FlowSpeaker
const keys = new Map<string, string>()

beforeAll(async () => {
  folder = await modelsFolder([MODEL])
  pipeline = await openPipeline({ models: folder.path })
  // What the pool has is known from here on; what it is like is said by the test alone.
  await pipeline.startWorker()
  await pipeline.endWorkers()
  const { url } = pipeline.broker
  open = await startGateway({ url, env: { ...pipeline.env, PELTON_HTTP_PORT: '0' } })
  const env = { ...pipeline.env, PELTON_GATEWAY_KEYS: 'always', PELTON_GATEWAY_QUOTAS: 'free=0.01/3' }
  keyed = await startGateway({ url, env })
  await makeKeys({ free: 'free', gold: 'gold', plain: undefined })
})

beforeEach(() => {
  flow = speakFlow(pipeline.connection, MODEL)
})
afterEach(() => flow.stop())

afterAll(async () => {
  await Promise.all([open, keyed].map((each) => each?.end()))
  await pipeline?.close()
  await folder?.remove()
})

async function makeKeys(classes: Readonly<Record<string, string | undefined>>): Promise<void> {
  const window = new PublishWindow(pipeline.connection)
  for (const [name, quotaClass] of Object.entries(classes)) {
    const wish: NewKey = { name, models: 'all', pool: 'default', highestLane: 'high', quotaClass, by: 'test' }
    keys.set(name, (await createKey({ connection: pipeline.connection, window }, wish)).text)
  }
  window.close()
  const isKnown = async () => (await keyed.call('GET', '/v2/models', { headers: as('plain') })).status === 200
  await eventually('the keys to be known', isKnown)
}

const as = (name: string): Record<string, string> => ({ authorization: `Bearer ${keys.get(name)}` })

/** Asks for a result later, within a deadline: 202 where it is let in. */
function ask(lane: Lane, headers: Record<string, string> = {}, gateway = open): Promise<Answer> {
  const parameters = { priority: PRIORITY[lane], timeout: DEADLINE_MS * 1_000 }
  return gateway.call('POST', `/v2/models/${MODEL}/infer`, {
    body: { inputs: INPUTS, parameters },
    headers: { prefer: 'respond-async', ...headers },
  })
}

/** Waits until something is answered so: words of the flow take a moment. */
function answered(status: number, asked: () => Promise<Answer>): Promise<Answer> {
  let last: Answer | undefined
  const look = async (): Promise<Answer | undefined> => {
    last = await asked()
    return last.status === status ? last : undefined
  }
  return eventually(`an answer ${status}`, look, { seen: () => last?.text })
}

const statuses = async (): Promise<readonly number[]> =>
  Promise.all(LANES.map(async (lane) => (await ask(lane)).status))

const lastInFeatures = (): Promise<number> => pipeline.lastIn(STREAMS.features)

describe('a backlog', () => {
  test.each([
    [9, [202, 202, 202]],
    [30, [202, 202, 503]],
    [50, [202, 503, 503]],
    [90, [503, 503, 503]],
  ])('of %i s of work is answered %j in high, normal, low', async (backlogS, expected) => {
    flow.say(ahead(backlogS))
    const asked = async () => {
      const before = await lastInFeatures()
      const said = await statuses()
      return { said, stored: (await lastInFeatures()) - before }
    }
    // What is refused is no event.
    const promised = { said: expected, stored: expected.filter((status) => status === 202).length }
    let last: Awaited<ReturnType<typeof asked>> | undefined
    const look = async () => {
      last = await asked()
      return isDeepStrictEqual(last, promised)
    }
    await eventually(`to be answered ${expected}`, look, { seen: () => last })
  })

  test('is told with its limit, what was measured, and when to come back, and counted', async () => {
    flow.say(FULL)
    const { json, headers } = await answered(503, () => ask('low'))
    expect(json).toMatchObject({
      ...{ status: 503, code: 'overloaded', field: 'backlog' },
      type: 'https://pelton.dev/problems/overloaded',
      detail: 'lane low has as much backlog as its deadlines allow',
      // What came in above it may hold it up for longer than what is there already.
      value: expect.stringMatching(/^\d{5,7} ms, at most [12]0000 ms$/),
      remedy: expect.stringMatching(/^Nothing was stored\. Come back in \d+ ms\.$/),
      retryAfterMs: expect.any(Number),
    })
    expect(json.error).toContain('(backlog = ')
    expect(json.token).toBeUndefined()
    expect(json.retryAfterMs).toBeGreaterThan(68_000)
    expect(1_000 * Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(json.retryAfterMs)
    expect(headers.get('ratelimit')).toBeNull()
    const later = new Set<string | null>()
    for (let each = 0; each < 30; each++) later.add((await ask('low')).headers.get('retry-after'))
    expect(later.size, 'refused clients do not come back together').toBeGreaterThan(1)
    expect(await refusedBy({ lane: 'low', limit: 'backlog', enforced: 'true' })).toBeGreaterThan(30)
    const lines = open.log.filter(({ msg }) => msg === 'requests are not let in')
    expect(lines[0]).toMatchObject({
      level: 'warn',
      most: expect.stringContaining(`model ${MODEL}, pool default`),
    })
    expect(lines.length, 'a line tells of many').toBeLessThan(10)
  })

  test('refuses nothing without a deadline, but for the seconds that a lane may have', async () => {
    flow.say(FULL)
    await answered(503, () => ask('high'))
    const body = { inputs: INPUTS }
    const later = () =>
      open.call('POST', `/v2/models/${MODEL}/infer`, { body, headers: { prefer: 'respond-async' } })
    expect((await later()).status).toBe(202)
    flow.say({ ...FULL, maxBacklogSeconds: { high: 0, normal: 20, low: 0 } })
    expect((await answered(503, later)).json).toMatchObject({
      field: 'maxBacklogSeconds',
      code: 'overloaded',
    })
  })
})

test('an event over CloudEvents is refused in the same words', async () => {
  const path = `/v1/models/${MODEL}/events?lane=low`
  const event = (leftMs: number): Record<string, string> => ({
    ...{ 'ce-specversion': '1.0', 'ce-id': crypto.randomUUID(), 'ce-source': 'gate/7', 'ce-type': 't' },
    'ce-expirytime': new Date(Date.now() + leftMs).toISOString(),
  })
  const publish = (leftMs = DEADLINE_MS): Promise<Answer> =>
    open.call('POST', path, { body: { inputs: INPUTS }, headers: event(leftMs) })
  flow.say(FULL)
  const { json, headers } = await answered(503, publish)
  expect(json).toMatchObject({ code: 'overloaded', field: 'backlog', retryAfterMs: expect.any(Number) })
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
  expect((await publish(-60_000)).status, 'one that has expired is not told to come back').toBe(202)
  flow.say({})
  await answered(202, publish)
})

test('what is only observed is let in and counted, and what is off is not looked at', async () => {
  flow.say(FULL)
  await answered(503, () => ask('normal'))
  flow.say({ ...FULL, mode: 'observe' })
  await answered(202, () => ask('normal'))
  expect(await refusedBy({ lane: 'normal', limit: 'backlog', enforced: 'false' })).toBeGreaterThan(0)
  flow.say({ ...FULL, mode: 'off' })
  const seen = () => refusedBy({ lane: 'normal', limit: 'backlog', enforced: 'false' })
  await eventually('it not to be looked at', async () => {
    const before = await seen()
    expect((await ask('normal')).status).toBe(202)
    return (await seen()) === before
  })
})

test('a gate of the pool is named, with what it says for people', async () => {
  flow.say({
    gates: [
      ...[
        { limit: 'breaker', lanes: LANES, value: 1, measured: 3, retryAfterMs: 9_000, because: 'it fails' },
      ],
    ],
  })
  const { json, headers } = await answered(503, () => ask('high'))
  expect(json).toMatchObject({ field: 'breaker', detail: 'it fails', value: '3, at most 1' })
  expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(9)
  const readings = readPrometheus(await metrics())
  expect(readings.value('pelton_gateway_gate', { gate: 'breaker' })).toBe(3)
  expect(readings.value('pelton_gateway_gate_threshold', { gate: 'breaker' })).toBe(1)
  expect(readings.value('pelton_gateway_gate', { gate: 'part' })).toBeGreaterThan(0)
})

describe('an idempotency key', () => {
  test('joins and repeats what was accepted, however much waits', async () => {
    await answered(202, () => ask('normal'))
    const key = crypto.randomUUID()
    await answered(202, () => ask('normal', { 'idempotency-key': key }))
    flow.say(FULL)
    await answered(503, () => ask('normal'))
    // It has no answer yet, and is told that, as ever.
    expect(await ask('normal', { 'idempotency-key': key })).toMatchObject({
      status: 409,
      json: { code: 'request-running' },
    })
  })

  test('is free again after a refusal, and nothing is stored for it', async () => {
    flow.say(FULL)
    await answered(503, () => ask('normal'))
    const [before, key] = [await pipeline.lastIn('KV_pelton-requests'), crypto.randomUUID()]
    expect((await ask('normal', { 'idempotency-key': key })).status).toBe(503)
    expect(await pipeline.lastIn('KV_pelton-requests')).toBe(before)
    flow.say({})
    await answered(202, () => ask('normal', { 'idempotency-key': key }))
  })
})

describe('a caller that asks for too much', () => {
  test('is 429 with its quota and its class, and others are not', async () => {
    const taken = [1, 2, 3].map(() => ask('normal', as('free'), keyed))
    expect((await Promise.all(taken)).map(({ status }) => status)).toEqual([202, 202, 202])
    const { status, json, headers } = await ask('normal', as('free'), keyed)
    expect(json, `${status}`).toMatchObject({
      ...{ status: 429, code: 'rate-limited', field: 'quota', value: '4 requests, at most 3 requests' },
      detail: expect.stringContaining('class free has 0.01 requests a second, 3 at once'),
    })
    expect(headers.get('ratelimit')).toMatch(/^"quota";r=0;t=\d+$/)
    expect(headers.get('ratelimit-policy')).toBe('"quota";q=3;w=300')
    const [, reset = ''] = /t=(\d+)/.exec(headers.get('ratelimit') ?? '') ?? []
    expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(Number(reset))
    expect((await ask('normal', as('plain'), keyed)).status).toBe(202)
    // Results are read all the same, and what is there.
    expect((await keyed.call('GET', '/v2/models', { headers: as('free') })).status).toBe(200)
  })

  test('has no quota where nobody set its class, and the log says so once', async () => {
    for (let each = 0; each < 5; each++) expect((await ask('normal', as('gold'), keyed)).status).toBe(202)
    const said = keyed.log.filter(({ reason }) => String(reason).includes('quota class gold'))
    expect(said).toHaveLength(1)
  })

  test('is 429 with its share where it is the source of most that comes', async () => {
    const heavy = [sourceDigest(`key/${readKey(keys.get('plain') ?? '')?.id}`)]
    flow.say({ ...ahead(30), heavy })
    const { json, headers } = await answered(429, () => ask('normal', as('plain'), keyed))
    expect(json).toMatchObject({ code: 'rate-limited', field: 'share' })
    expect(headers.get('ratelimit')).toMatch(/^"share";r=0;t=\d+$/)
    expect(headers.get('ratelimit-policy')).toBeNull()
    expect((await ask('normal', as('gold'), keyed)).status).toBe(202)
  })
})

describe('a request that waits for its answer', () => {
  const infer = (lane: Lane, path = `/v2/models/${MODEL}/infer`, headers = {}, gateway = open) =>
    gateway.call('POST', path, {
      body: { inputs: INPUTS, parameters: { priority: PRIORITY[lane] } },
      headers,
    })
  /** Asked by who does not wait: without a worker an answer that is let in takes its whole time. */
  const refusesLow = () => answered(503, () => ask('low'))

  test('is refused in the same words, and goes on to its route where it is not', async () => {
    await pipeline.startWorker()
    flow.say({ gates: [lowGate] })
    const { json } = await answered(503, () => infer('low'))
    const { json: later } = await answered(503, () => ask('low'))
    const telling = ['type', 'title', 'status', 'detail', 'code', 'field', 'value']
    for (const member of telling) expect(json[member], member).toEqual(later[member])
    expect(Object.keys(json)).toEqual(Object.keys(later))
    const { status, json: prediction } = await infer('high')
    expect([status, prediction.outputs?.[0]?.data]).toEqual([200, [1, 2]])
    await pipeline.endWorkers()
  })

  test('is told what else is wrong with it, also while others are refused', async () => {
    flow.say({ gates: [lowGate] })
    await refusesLow()
    const broken = { raw: { type: 'application/json', text: '{"inputs": [}' } }
    expect((await open.call('POST', `/v2/models/${MODEL}/infer`, broken)).json.code).toBe('malformed')
    expect((await infer('low', '/v2/models/nobody/infer')).status).toBe(404)
    expect((await infer('low', undefined, { 'x-api-key': 'none' }, keyed)).status).toBe(401)
    await answered(503, () => ask('low', as('plain'), keyed))
    expect(await infer('low', undefined, as('plain'), keyed)).toMatchObject({
      status: 503,
      json: { code: 'overloaded', field: 'breaker' },
    })
  })

  test('is counted as every other request', async () => {
    flow.say({ gates: [lowGate] })
    await refusesLow()
    const count = async (name: string, labels: Readonly<Record<string, string>>) =>
      readPrometheus(await metrics()).value(name, labels) ?? 0
    const all = () =>
      Promise.all([
        count('http_server_request_duration_seconds_count', {
          ...{ http_route: '/v2/models/{model}/infer', http_response_status_code: '503' },
        }),
        count('pelton_gateway_requests_total', { model: MODEL, ended: 'refused', reason: 'overloaded' }),
        refusedBy({ lane: 'low', limit: 'breaker', enforced: 'true' }),
      ])
    const before = await all()
    for (let each = 0; each < 5; each++) expect((await infer('low')).status).toBe(503)
    expect(await all()).toEqual(before.map((value) => value + 5))
  })
})

test('all that was let in is answered: what was sent is predicted, dead or refused', async () => {
  flow.say({ gates: [lowGate] })
  await answered(503, () => ask('low'))
  const before = await lastInFeatures()
  const lanes = Array.from({ length: 60 }, (_, index) => LANES[index % 3] ?? 'low')
  const sent = (await Promise.all(lanes.map((lane) => ask(lane)))).map(({ status }) => status)
  const refused = sent.filter((status) => status === 503)
  expect(refused).toHaveLength(20)
  expect(sent.length - refused.length).toBe((await lastInFeatures()) - before)
  flow.stop()
  await pipeline.startWorker()
  const { predictions, failures } = await pipeline.settled(await lastInFeatures())
  expect(predictions.size + failures.size).toBe(await lastInFeatures())
})

async function metrics(): Promise<string> {
  const said = open.log.find(({ msg, address }) => msg === 'listening' && address !== open.address)
  return (await fetch(`${said?.address}/metrics`)).text()
}

async function refusedBy(labels: Readonly<Record<string, string>>): Promise<number> {
  return (
    readPrometheus(await metrics()).value('pelton_gateway_refused_total', { model: MODEL, ...labels }) ?? 0
  )
}
