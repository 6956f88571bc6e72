import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKey } from '../../shared/operations/keys/keys.ts'
import { LANES } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { speakFlow } from '../kit/flow.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { type HttpAnswer, type HttpLoad, openHttpLoad } from '../kit/http-load.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

/** Rows of the table of errors in docs/http.md: status, and the codes that stand beside it. */
const page = await readFile(new URL('../../docs/http.md', import.meta.url), 'utf8')
const errors = page.slice(page.indexOf('## Errors'), page.indexOf('## Clients'))
const rows = [...errors.matchAll(/^\| (\d{3}(?:, \d{3})*) \| (.*?) \|/gm)].flatMap(
  ([, statuses = '', codes = '']) =>
    statuses.split(', ').map((status) => ({
      status: Number(status),
      codes: [...codes.matchAll(/`([a-z-]+)`/g)].map(([, code = '']) => code),
    })),
)

const INFER = '/v2/models/identity-fp32/infer'
const ROW = { name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }
const BODY = JSON.stringify({ inputs: [ROW] })

let folder: Awaited<ReturnType<typeof modelsFolder>>
let pipeline: Pipeline
const gateways: GatewayProcess[] = []
let open: HttpLoad
let keyed: HttpLoad
let key: string
/** Of a class that has one request. */
let tightKey: string

beforeAll(async () => {
  folder = await modelsFolder(['identity-fp32', 'linear'])
  pipeline = await openPipeline({ models: folder.path })
  const { pid } = await pipeline.startWorker()
  open = await callers({ PELTON_GATEWAY_MAX_IN_FLIGHT: '3' })
  keyed = await callers({ PELTON_GATEWAY_KEYS: 'always', PELTON_GATEWAY_QUOTAS: 'tight=0.01/1' })
  const store = { connection: pipeline.connection, window: new PublishWindow(pipeline.connection) }
  const wish = { name: 'one', models: ['linear'], pool: 'default', highestLane: 'high', by: 'test' } as const
  key = (await createKey(store, wish)).text
  tightKey = (await createKey(store, { ...wish, models: ['identity-fp32'], quotaClass: 'tight' })).text
  store.window.close()
  const isServed = async () => (await open.send('GET', '/v2/models/linear/ready')).status === 200
  await eventually('the models to be served', isServed)
  pause = (isPaused) => process.kill(pid, isPaused ? 'SIGSTOP' : 'SIGCONT')
})

afterAll(async () => {
  for (const load of [open, keyed]) load?.close()
  await Promise.all(gateways.map((each) => each.end()))
  await pipeline?.close()
  await folder?.remove()
})

/** Stops the worker where it is, or lets it go on. */
let pause: (isPaused: boolean) => void

async function callers(env: NodeJS.ProcessEnv): Promise<HttpLoad> {
  const gateway = await startGateway({ url: pipeline.broker.url, env })
  gateways.push(gateway)
  return openHttpLoad(() => [gateway.address], 32)
}

interface Expected {
  readonly status: number
  /** Undefined where the table has none. */
  readonly code: string | undefined
  readonly field?: string
}

const tried: Expected[] = []

/** What the page says of every error, looked at on one. */
function check(
  answer: HttpAnswer,
  { status, code, field }: Expected,
  isBelowV2 = true,
): Record<string, string> {
  const text = answer.body.toString()
  const problem = JSON.parse(text) as Record<string, string>
  expect(problem, text).toMatchObject({
    status,
    ...(code !== undefined && { code }),
    ...(field !== undefined && { field }),
  })
  expect(answer.status).toBe(status)
  const type = isBelowV2 ? 'application/json' : 'application/problem+json; charset=utf-8'
  expect([answer.headers['content-type'], answer.headers['cache-control']], text).toEqual([type, 'no-store'])
  for (const member of ['type', 'title', 'detail', 'error'])
    expect(problem[member], `${member} of ${text}`).toMatch(/\w/)
  expect(problem.instance).toMatch(/^urn:uuid:/)
  // What of a dead letter can be mended stands in its notice, where there is something.
  if (code !== undefined && problem.reason === undefined) expect(problem.remedy, text).toMatch(/\w/)
  // Nothing of how it is made, and nobody's key.
  expect(text).not.toMatch(/node_modules|\.ts:\d|\\n\s+at |[\\/](?:tmp|root|home)[\\/]/)
  expect(text).not.toContain(key)
  if (code === 'overloaded' || code === 'rate-limited')
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(Number(problem.retryAfterMs) / 1_000)
  if (status === 503) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
  tried.push({ status, code })
  return problem
}

const infer = (body: string, headers: Record<string, string> = {}, path = INFER): Promise<HttpAnswer> =>
  open.send('POST', path, body, headers)

/** What a result is, once it is there. */
const outcomeAt = (location: string): Promise<HttpAnswer> =>
  eventually('an outcome', async () => {
    const answer = await open.send('GET', location, undefined, { prefer: 'wait=30' })
    return answer.status !== 202 && answer
  })

test('what cannot be read is 400, 413, 415', async () => {
  check(await infer('{"inputs":[}'), { status: 400, code: 'malformed', field: 'body' })
  const odd = { inputs: [ROW], parameters: { priority: 1.5 } }
  check(await infer(JSON.stringify(odd)), {
    status: 400,
    code: 'invalid-argument',
    field: 'parameters.priority',
  })
  check(await infer(BODY, { 'idempotency-key': '"' }), {
    status: 400,
    code: 'invalid-argument',
    field: 'Idempotency-Key',
  })
  check(await infer(BODY, { 'inference-header-content-length': '900' }), {
    ...{ status: 400, code: 'malformed', field: 'Inference-Header-Content-Length' },
  })
  check(await infer('x'.repeat(2 * 1024 ** 2)), { status: 413, code: 'too-large' })
  check(await infer(BODY, { 'content-encoding': 'br' }), {
    status: 415,
    code: 'unsupported-encoding',
    field: 'Content-Encoding',
  })
  const event = {
    'ce-specversion': '1.0',
    'ce-id': 'x',
    'ce-source': '/x',
    'ce-type': 't',
    'content-type': 'text/xml',
  }
  const unread = await infer('<a/>', event, '/v1/models/identity-fp32/events')
  check(unread, { status: 415, code: 'unsupported-media-type', field: 'Content-Type' }, false)
})

test('who has no right is 401, 403, 421', async () => {
  const noKey = await keyed.send('POST', INFER, BODY)
  check(noKey, { status: 401, code: 'unauthorised' })
  expect(noKey.headers['www-authenticate']).toContain('Bearer')
  check(await keyed.send('POST', INFER, BODY, { 'x-api-key': `${key}x` }), {
    status: 401,
    code: 'unauthorised',
  })
  check(await keyed.send('POST', INFER, BODY, { 'x-api-key': key }), {
    status: 403,
    code: 'forbidden',
    field: 'model',
  })
  check(await infer(BODY, { origin: 'https://evil.example' }), {
    status: 403,
    code: 'forbidden',
    field: 'Origin',
  })
  check(await infer(BODY, { host: 'evil.example' }), { status: 421, code: 'misdirected', field: 'Host' })
})

test('what is not there is 404, 405, 414, 431, 501', async () => {
  check(await infer(BODY, {}, '/v2/models/nobody/infer'), {
    status: 404,
    code: 'unknown-model',
    field: 'model',
  })
  check(await infer(BODY, {}, '/v2/models/linear/versions/9/infer'), { status: 404, code: 'unknown-model' })
  check(await open.send('GET', '/v2/nowhere'), { status: 404, code: 'not-found', field: 'path' })
  check(
    await open.send('GET', '/v1/results/made.up'),
    { status: 404, code: 'not-found', field: 'handle' },
    false,
  )
  const wrong = await open.send('GET', INFER)
  check(wrong, { status: 405, code: 'method-not-allowed', field: 'method' })
  expect(wrong.headers.allow).toBe('POST')
  check(await open.send('POST', '/v2', BODY), { status: 405, code: 'method-not-allowed', field: 'method' })
  check(await open.send('GET', `/v2/${'x'.repeat(9_000)}`), { status: 414, code: undefined })
  const many = Object.fromEntries(Array.from({ length: 150 }, (_, index) => [`x-${index}`, '1']))
  check(await open.send('GET', '/v2', undefined, many), { status: 431, code: undefined })
  check(await open.send('POST', '/v2/repository/models/linear/load'), {
    status: 501,
    code: 'not-offered',
    field: 'path',
  })
})

test('what a model cannot take is 422, also later; what is no longer kept is 410', async () => {
  const short = JSON.stringify({ inputs: [{ ...ROW, shape: [1, 1, 2] }] })
  const { token } = check(await infer(short), {
    status: 422,
    code: 'schema-mismatch',
    field: 'inputs[0].shape',
  })
  expect(token).toMatch(/^[\w-]{22}$/)
  const accepted = await infer(short, { prefer: 'respond-async' })
  const location = String(accepted.headers.location)
  const later = () => outcomeAt(location)
  check(await later(), { status: 422, code: 'schema-mismatch' }, false)
  await requestApi(pipeline.connection, `STREAM.PURGE.${STREAMS.results}`)
  check(await later(), { status: 410, code: 'gone', field: 'handle' }, false)
})

test('what has no answer yet is 409, 422, 503, 504', async () => {
  pause(true)
  const idempotent = { 'idempotency-key': '"one"', prefer: 'respond-async' }
  expect((await infer(BODY, idempotent)).status).toBe(202)
  check(await infer(BODY, idempotent), { status: 409, code: 'request-running', field: 'Idempotency-Key' })
  const other = JSON.stringify({ inputs: [{ ...ROW, data: [3, 4] }] })
  check(await infer(other, idempotent), {
    status: 422,
    code: 'idempotency-key-reused',
    field: 'Idempotency-Key',
  })
  const slow = await infer(JSON.stringify({ inputs: [ROW], parameters: { timeout: 5_000_000 } }))
  const { token } = check(slow, { status: 504, code: 'timeout' })
  const last = await pipeline.lastIn(STREAMS.features)
  const waiting = [1, 2, 3].map(() =>
    infer(JSON.stringify({ inputs: [ROW], parameters: { timeout: 600_000_000 } })),
  )
  await eventually('three to wait', async () => (await pipeline.lastIn(STREAMS.features)) === last + 3)
  check(await infer(BODY), { status: 503, code: 'overloaded' })
  pause(false)
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200])
  const later = await outcomeAt(String(slow.headers.location))
  expect(check(later, { status: 504, code: 'deadline-exceeded' }, false)).toMatchObject({ token })
})

test('what is more than can be answered, or than a key may ask for, is 503, 429', async () => {
  const flow = speakFlow(pipeline.connection, 'linear')
  flow.say({ gates: [{ limit: 'breaker', lanes: LANES, value: 1, measured: 2, retryAfterMs: 2_000 }] })
  const path = '/v2/models/linear/infer'
  const refused = await eventually('a refusal', async () => {
    const answer = await infer(BODY, {}, path)
    return answer.status === 503 && answer
  })
  check(refused, { status: 503, code: 'overloaded', field: 'breaker' })
  flow.stop()
  const tight = { 'x-api-key': tightKey }
  const first = await eventually('the key to be known', async () => {
    const answer = await keyed.send('POST', INFER, BODY, tight)
    return answer.status !== 401 && answer
  })
  expect(first.status).toBe(200)
  const beyond = await keyed.send('POST', INFER, BODY, tight)
  check(beyond, { status: 429, code: 'rate-limited', field: 'quota' })
  expect(beyond.headers['ratelimit-policy']).toBe('"quota";q=1;w=100')
})

test('a broker that is away is 503', async () => {
  const away = await callers({})
  await pipeline.broker.stop()
  const isAway = async () => (await away.send('GET', '/v2/health/ready')).status === 503
  await eventually('the gateway to notice', isAway)
  const request = JSON.stringify({ inputs: [ROW], parameters: { timeout: 500_000 } })
  const answer = await away.send('POST', INFER, request)
  check(answer, { status: 503, code: 'broker-unavailable' })
})

/** Of these other tests know: listeners that are slow, models that fail. */
const ELSEWHERE: ReadonlySet<number> = new Set([408, 500])

test('the table of the page has all of these, and each of its statuses was tried', () => {
  expect(rows.length).toBeGreaterThan(15)
  const missing = tried.filter(
    ({ status, code }) =>
      !rows.some((row) => row.status === status && (code === undefined || row.codes.includes(code))),
  )
  expect(missing).toEqual([])
  const statuses = new Set(tried.map(({ status }) => status))
  expect(
    rows.map(({ status }) => status).filter((status) => !statuses.has(status) && !ELSEWHERE.has(status)),
  ).toEqual([])
})
