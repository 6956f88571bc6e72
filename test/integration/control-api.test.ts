import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { NatsConnection } from '@nats-io/transport-node'
import { fastify } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { addApi } from '../../services/control/http/api.ts'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { markSuperseded } from '../../shared/operations/records/superseded-mark.ts'
import { SUPERSEDED } from '../../shared/operations/replay/plan.ts'
import { HEADERS, type HeaderEntry } from '../../shared/sdk/contract/headers.ts'
import { keyDigest, keyedId } from '../../shared/sdk/contract/keyed-id.ts'
import { decodeLedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { latestModels } from '../kit/models-folder.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { publishEvent } from '../kit/pipeline.ts'
import { PATIENT } from '../kit/wait.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import {
  type Answer,
  type CallOptions,
  type ControlProcess,
  spawnControl,
  startControl,
  TOKEN,
} from './control-process.ts'
import { EXPIRED } from './replay-stage.ts'

const GOOD = JSON.stringify({ features: EXAMPLE_FLIGHT })
const FAST = { rate: 1_000, rampSeconds: 0 }

let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow
let worker: WorkerProcess
let control: ControlProcess
let dataDir: string

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'pelton-control-'))
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision({ topology: { ackWaitMs: 3_000 } })
  window = new PublishWindow(connection)
  worker = await startWorkerProcess({ url: broker.url, models: latestModels() })
  // The watch sleeps: nothing but the requests changes anything.
  control = await startControl({ url: broker.url, dataDir, env: { PELTON_WATCH_MS: '3600000' } })
})

afterAll(async () => {
  for (const process of [control, worker]) process?.kill('SIGKILL')
  await Promise.all([control?.ended, worker?.ended])
  window?.close()
  await broker?.stop()
  await rm(dataDir, { recursive: true, force: true })
})

beforeEach(async () => {
  await requestApi(connection, `STREAM.PURGE.${STREAMS.deadLetters}`)
})

const call = (method: string, path: string, options?: CallOptions): Promise<Answer> =>
  control.call(method, path, options)

let made = 0

/** Dead letters by events that had expired when they came. */
async function deadLetters(
  count: number,
  extra: readonly HeaderEntry[] = [],
  body = GOOD,
  modelOf: (index: number) => string = () => 'flight-delay',
): Promise<string[]> {
  const before = (await streamInfo(connection, STREAMS.deadLetters))?.state.messages ?? 0
  const headers = Object.fromEntries([EXPIRED, ...extra])
  const tokens: string[] = []
  for (let index = 0; index < count; index++)
    tokens.push(
      await publishEvent(connection, { id: `event-${++made}`, body, headers, model: modelOf(index) }),
    )
  await vi.waitFor(async () => {
    expect((await streamInfo(connection, STREAMS.deadLetters))?.state.messages).toBe(before + count)
    expect((await streamInfo(connection, STREAMS.features))?.state.messages).toBe(0)
  }, PATIENT)
  return tokens
}

async function ended(task: string): Promise<Answer['json']> {
  let json: Answer['json']
  await vi.waitFor(async () => {
    json = (await call('GET', `/v1/replays/${task}`)).json
    expect(['done', 'paused', 'cancelled']).toContain(json.state)
  }, PATIENT)
  return json
}

describe('dead letters over HTTP', () => {
  test('are listed in pages, filtered, counted and shown whole', async () => {
    const tokens = await deadLetters(5, [['ce-partitionkey', 'blue']])
    const first = await call('GET', '/v1/dead-letters?limit=3&key=blue')
    expect(first.status).toBe(200)
    expect(first.json.deadLetters.map(({ token }: { token: string }) => token)).toEqual(tokens.slice(0, 3))
    const second = await call('GET', `/v1/dead-letters?limit=3&key=blue&cursor=${first.json.next}`)
    expect(second.json.deadLetters.map(({ token }: { token: string }) => token)).toEqual(tokens.slice(3))
    expect(second.json).not.toHaveProperty('next')
    const newest = await call('GET', '/v1/dead-letters?limit=1&first=newest&since=1h')
    expect(newest.json.deadLetters[0].token).toBe(tokens[4])
    expect((await call('GET', '/v1/dead-letters?reason=shed')).json.deadLetters).toEqual([])
    const counts = await call('GET', '/v1/dead-letters/counts?model=flight-delay')
    expect(counts.json.total).toBe(5)
    expect(counts.json.groups[0]).toMatchObject({ model: 'flight-delay', reason: 'deadline-exceeded' })
    const { sequence } = first.json.deadLetters[0]
    for (const which of [tokens[0], sequence]) {
      const shown = await call('GET', `/v1/dead-letters/${which}`)
      expect(shown.json).toMatchObject({
        token: tokens[0],
        payload: { kind: 'json', value: JSON.parse(GOOD) },
      })
    }
    const payload = await call('GET', `/v1/dead-letters/${sequence}/payload`)
    expect(payload.text).toBe(GOOD)
    expect(payload.headers.get('content-type')).toBe('application/octet-stream')
    expect(payload.headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('of names somebody made up are counted, and named up to a limit', async () => {
    await deadLetters(3)
    await deadLetters(110, [], GOOD, (index) => `made-up-${index}`)
    const asked = '/v1/dead-letters/counts'
    const { json } = await call('GET', asked)
    expect(json).toMatchObject({ total: 113, more: { left: 11, count: 11 } })
    expect(json.groups).toHaveLength(100)
    expect(json.groups[0]).toMatchObject({ model: 'flight-delay', count: 3 })
    const all = await call('GET', `${asked}?limit=10000`)
    expect(all.json.groups).toHaveLength(111)
    expect(all.json).not.toHaveProperty('more')
    expect((await call('GET', `${asked}?limit=10001`)).status).toBe(400)
    const { deadLetters: told } = (await call('GET', '/v1/status')).json
    expect(told).toMatchObject({ total: 113, isComplete: true, more: { left: 11, count: 11 } })
    expect(Object.keys(told.byModel)).toHaveLength(100)
    expect(told.byModel['flight-delay']).toBe(3)
  })

  test('keep every digit of their numbers', async () => {
    const [token] = await deadLetters(1, [], '{"features": {"distance": 12345678901234567890.10}}')
    expect((await call('GET', `/v1/dead-letters/${token}`)).text).toContain('12345678901234567890.10')
  })

  test('are discarded only when it is confirmed, and the records name the operator', async () => {
    const [token, other] = await deadLetters(2)
    const body = { which: [token], because: 'a test' }
    const counted = await call('POST', '/v1/dead-letters/discard', { body })
    expect(counted.json).toEqual({ outcome: 'discarded', wouldRemove: 1 })
    const done = await call('POST', '/v1/dead-letters/discard', {
      body: { ...body, confirm: true },
      headers: { 'pelton-operator': 'alice' },
    })
    expect(done.json).toMatchObject({ outcome: 'discarded', removed: 1, held: 0, isComplete: true })
    const left = await call('GET', '/v1/dead-letters')
    expect(left.json.deadLetters.map((each: { token: string }) => each.token)).toEqual([other])
    const { acts } = (await call('GET', '/v1/dead-letters/history')).json
    expect(acts.at(-1)).toMatchObject({ what: 'discarded', by: 'alice', because: 'a test', isComplete: true })
    const records = (await readStream(connection, STREAMS.ledger)).map((one) => decodeLedgerRecord(one.body))
    expect(records.filter(({ by }) => by === 'alice').flatMap(({ entries }) => entries)).toEqual([
      expect.objectContaining({ outcome: 'discarded', token }),
    ])
  })

  test('are purged by subject, and the record names nobody', async () => {
    await deadLetters(2, [[HEADERS.subject, 'person-1']])
    await deadLetters(1, [[HEADERS.subject, 'person-2']])
    const body = { subject: 'person-1', because: 'request 12', confirm: true }
    expect((await call('POST', '/v1/dead-letters/purge', { body })).json).toMatchObject({ removed: 2 })
    const { acts } = (await call('GET', '/v1/dead-letters/history')).json
    expect(JSON.stringify(acts)).not.toContain('person-1')
    expect((await call('GET', '/v1/dead-letters/counts')).json.total).toBe(1)
  })

  test('go out as lines and come back to the byte', async () => {
    const tokens = await deadLetters(3)
    const exported = await call('POST', '/v1/dead-letters/export', {
      body: { filter: { model: 'flight-delay' } },
    })
    expect(exported.headers.get('content-type')).toBe('application/x-ndjson')
    expect(
      exported.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).token),
    ).toEqual(tokens)
    await requestApi(connection, `STREAM.PURGE.${STREAMS.deadLetters}`)
    const raw = { type: 'application/x-ndjson', text: exported.text }
    const stored = await call('POST', '/v1/dead-letters/import', { raw })
    expect(stored.json).toEqual({ stored: 3, present: 0, answered: 0, purged: 0, isComplete: true })
    expect((await call('POST', '/v1/dead-letters/import', { raw })).json).toMatchObject({
      stored: 0,
      present: 3,
    })
    const again = await call('POST', '/v1/dead-letters/export', { body: {} })
    const withoutTime = (text: string): string => text.replaceAll(/"storedAt":"[^"]*"/g, '')
    expect(withoutTime(again.text)).toBe(withoutTime(exported.text))
    const broken = { type: raw.type, text: `${exported.text}{"no": "letter"}\n` }
    const refused = await call('POST', '/v1/dead-letters/import', { raw: broken })
    expect(refused.status).toBe(400)
    expect(refused.json.detail).toMatch(/line 4: .*present 3/)
  })
})

describe('a control service that stops', () => {
  test('cuts an export off: nobody takes a part for the whole', async () => {
    const body = Buffer.from(JSON.stringify({ features: { pad: 'x'.repeat(500_000) } }))
    for (let index = 0; index < 80; index++) {
      const token = eventToken('large', 'test', String(index))
      const headers: HeaderEntry[] = [[HEADERS.token, token]]
      const reply = await window.publish({ subject: subjects.deadLetter('large', token), headers, body })
      expect(reply.kind).toBe('stored')
    }
    const own = await startControl({ url: broker.url, dataDir, env: { PELTON_WATCH_MS: '3600000' } })
    onTestFinished(() => own.kill('SIGKILL'))
    const exported = await fetch(`${own.address}/v1/dead-letters/export`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}` },
    })
    expect(exported.status).toBe(200)
    own.kill()
    const draining = expect.objectContaining({ state: 'draining' })
    await vi.waitFor(() => expect(own.log).toContainEqual(draining), PATIENT)
    await expect(exported.text().then(({ length }) => length)).rejects.toThrow()
    expect(await own.ended).toBe(0)
  })
})

describe('replays over HTTP', () => {
  test('are planned, run in the background and end in predictions', async () => {
    const tokens = await deadLetters(20)
    const filter = { reason: 'deadline-exceeded' }
    const plan = await call('POST', '/v1/replays/plan', { body: { filter, cap: 5 } })
    expect(plan.json).toMatchObject({ matching: 20, sent: 5 })
    expect((await call('GET', '/v1/dead-letters/counts')).json.total).toBe(20)
    const started = await call('POST', '/v1/replays', {
      body: { filter, ...FAST, lane: 'normal' },
      headers: { 'pelton-operator': 'bob' },
    })
    expect(started.status).toBe(202)
    const { task } = started.json
    expect(started.headers.get('location')).toBe(`/v1/replays/${task.id}`)
    const done = await ended(task.id)
    expect(done, JSON.stringify(done)).toMatchObject({
      state: 'done',
      by: 'bob',
      counts: { predicted: 20, failed: 0 },
    })
    const { predictions } = await readOutcomes(connection, { hasReplays: true })
    for (const token of tokens) expect(predictions.has(token)).toBe(true)
    const { replays } = (await call('GET', '/v1/replays')).json
    expect(replays.map(({ id }: { id: string }) => id)).toContain(task.id)
    expect((await call('POST', `/v1/replays/${task.id}/resume`)).status).toBe(409)
  })

  test('are paused, resumed at another rate, and cancelled', async () => {
    await deadLetters(30)
    const started = await call('POST', '/v1/replays', { body: { all: true, rate: 1, rampSeconds: 0 } })
    const { id } = started.json.task
    const paused = await call('POST', `/v1/replays/${id}/pause`, { headers: { 'pelton-operator': 'eve' } })
    expect(paused.json).toMatchObject({ state: 'paused', note: expect.stringContaining('paused by eve') })
    const resumed = await call('POST', `/v1/replays/${id}/resume`, { body: { rate: 5 } })
    expect([resumed.status, resumed.json.options.rate]).toEqual([202, 5])
    expect((await call('POST', `/v1/replays/${id}/resume`)).status).toBe(409)
    const cancelled = await call('POST', `/v1/replays/${id}/cancel`)
    expect(cancelled.json.state).toBe('cancelled')
    expect((await call('GET', '/v1/dead-letters/counts')).json.total).toBeGreaterThan(0)
  })

  test('edit each payload by a patch', async () => {
    const [token = ''] = await deadLetters(1, [], JSON.stringify({ features: { origin: 'DTW' } }))
    const patch = [{ op: 'replace', path: '/features', value: EXAMPLE_FLIGHT }]
    const plan = await call('POST', '/v1/replays/plan', { body: { patch } })
    expect(plan.json).toMatchObject({ sent: 1, patch: { applied: { token } } })
    const started = await call('POST', '/v1/replays', {
      body: { all: true, patch: JSON.stringify(patch), ...FAST },
    })
    const done = await ended(started.json.task.id)
    expect(done, JSON.stringify(done)).toMatchObject({ counts: { predicted: 1 } })
  })

  test('leave out what its caller asked for again, unless that is asked for', async () => {
    const id = keyedId({
      digest: keyDigest({ model: 'flight-delay', source: 'test', key: 'mine' }),
      attempt: 1,
    })
    await deadLetters(1, [[HEADERS.id, id]])
    const token = eventToken('flight-delay', 'test', id)
    const mark = { by: eventToken('flight-delay', 'test', 'next'), at: '2026-01-31T12:00:00.000Z' }
    await markSuperseded(window, token, mark, 10_000)
    expect((await call('GET', `/v1/dead-letters/${token}`)).json.superseded).toEqual(mark)
    const plan = await call('POST', '/v1/replays/plan', { body: {} })
    expect(plan.json).toMatchObject({ matching: 1, sent: 0, skipped: { [SUPERSEDED]: 1 } })
    const started = await call('POST', '/v1/replays', { body: { all: true, superseded: true, ...FAST } })
    expect(await ended(started.json.task.id)).toMatchObject({ counts: { predicted: 1 } })
  })

  test('say so when there is nothing to send', async () => {
    const started = await call('POST', '/v1/replays', { body: { filter: { model: 'nobody' } } })
    expect([started.status, started.json]).toEqual([200, { plan: expect.objectContaining({ sent: 0 }) }])
  })
})

describe('the state of things over HTTP', () => {
  test('status, watch, audit, health and metrics', async () => {
    const status = await call('GET', '/v1/status')
    expect(status.json).toMatchObject({ backlog: 0, alerts: 0, streams: expect.any(Array) })
    expect((await call('GET', '/v1/watch')).json).toMatchObject({ isThisOne: true, alerts: [] })
    const audit = await call('POST', '/v1/audit', { body: { full: true } })
    expect(audit.json).toMatchObject({ clean: true, lost: [] })
    const anonymous = { headers: { authorization: '' } }
    expect((await call('GET', '/livez', anonymous)).status).toBe(200)
    expect((await call('GET', '/readyz', anonymous)).json).toEqual({ status: 'ready', reasons: [] })
    const metrics = await call('GET', '/metrics', anonymous)
    expect(metrics.text).toMatch(/^jetstream_stream_total_messages\{.*stream_name="FEATURES".*\} 0$/m)
    expect(metrics.text).toMatch(/^pelton_audit_lost(?:\{.*\})? 0$/m)
    expect(metrics.text).toMatch(/^pelton_lifecycle_state\{.*state="ready".*\} 1$/m)
    expect(metrics.text).toMatch(/^pelton_ready(?:\{.*\})? 1$/m)
  })

  test('says not ready without a broker, stays alive, and comes back', async () => {
    const lonely = await startTestBroker()
    await lonely.provision()
    const own = await startControl({ url: lonely.url, dataDir })
    try {
      await lonely.kill()
      await vi.waitFor(async () => {
        const ready = await own.call('GET', '/readyz')
        const [reason, ...others] = ready.json.reasons
        expect([ready.status, others]).toEqual([503, []])
        expect(reason).toMatch(/^broker: no connection: .*ECONNREFUSED/)
      }, PATIENT)
      expect((await own.call('GET', '/livez')).status).toBe(200)
      expect((await own.call('GET', '/metrics')).text).toMatch(/^pelton_ready(?:\{.*\})? 0$/m)
      const refused = await own.call('GET', '/v1/dead-letters')
      expect([refused.status, refused.json.code]).toEqual([503, 'broker-unavailable'])
      await lonely.restart()
      await vi.waitFor(async () => expect((await own.call('GET', '/readyz')).status).toBe(200), PATIENT)
    } finally {
      own.kill('SIGKILL')
      await own.ended
      await lonely.stop()
    }
  })
})

describe('what the API refuses', () => {
  const token = { authorization: `Bearer ${TOKEN}x` }
  const json = (body: unknown): CallOptions => ({ body })
  const table: readonly [
    what: string,
    method: string,
    path: string,
    given: CallOptions,
    status: number,
    field?: string,
  ][] = [
    ['a wrong token', 'GET', '/v1/status', { headers: token }, 401],
    ['no token', 'GET', '/v1/dead-letters', { headers: { authorization: '' } }, 401],
    ['another scheme', 'GET', '/v1/watch', { headers: { authorization: `Basic ${TOKEN}` } }, 401],
    ['a wrong token for a change', 'POST', '/v1/audit', { headers: token }, 401],
    ['a path that is not there', 'GET', '/v1/nothing', {}, 404],
    ['another method', 'DELETE', '/v1/dead-letters', {}, 405],
    [
      'an operator that is no name',
      'POST',
      '/v1/replays',
      { ...json({ all: true }), headers: { 'pelton-operator': 'é'.repeat(3) } },
      400,
      'Pelton-Operator',
    ],
    [
      'an operator that is too long',
      'POST',
      '/v1/replays',
      { ...json({ all: true }), headers: { 'pelton-operator': 'x'.repeat(65) } },
      400,
      'Pelton-Operator',
    ],
    ['an unknown condition', 'GET', '/v1/dead-letters?colour=red', {}, 400, 'colour'],
    ['an unknown reason', 'GET', '/v1/dead-letters?reason=bad-luck', {}, 400, 'reason'],
    ['a time that is none', 'GET', '/v1/dead-letters?since=soon', {}, 400, 'since'],
    ['a limit beyond all', 'GET', '/v1/dead-letters?limit=100000', {}, 400, 'limit'],
    ['a cursor that is none', 'GET', '/v1/dead-letters?cursor=-1', {}, 400, 'cursor'],
    ['neither token nor sequence', 'GET', '/v1/dead-letters/../../etc/passwd', {}, 404],
    ['an escaped path', 'GET', '/v1/dead-letters/..%2F..%2Fetc%2Fpasswd', {}, 400, 'token-or-sequence'],
    ['a broken escape', 'GET', '/v1/dead-letters/%zz', {}, 400],
    ['a wildcard for a token', 'GET', '/v1/dead-letters/%3E', {}, 400, 'token-or-sequence'],
    ['a dead letter that is gone', 'GET', '/v1/dead-letters/999999', {}, 404],
    ['a payload that is gone', 'GET', '/v1/dead-letters/999999/payload', {}, 404],
    ['a body that is no JSON', 'POST', '/v1/replays', { raw: { type: 'application/json', text: '{' } }, 400],
    ['a body of another type', 'POST', '/v1/replays', { raw: { type: 'text/xml', text: '<a/>' } }, 415],
    ['a body that is a list', 'POST', '/v1/replays/plan', json([]), 400, 'body'],
    ['a huge body', 'POST', '/v1/replays', json({ x: 'x'.repeat(2 * 1024 ** 2) }), 413],
    [
      'a poisoned body',
      'POST',
      '/v1/replays',
      { raw: { type: 'application/json', text: '{"__proto__": {}}' } },
      400,
    ],
    ['a replay of nothing in particular', 'POST', '/v1/replays', {}, 400, 'filter'],
    ['one of an empty filter', 'POST', '/v1/replays', json({ filter: {} }), 400, 'filter'],
    [
      'one of all and of some',
      'POST',
      '/v1/replays',
      json({ all: true, filter: { model: 'm' } }),
      400,
      'all',
    ],
    ['a rate that is text', 'POST', '/v1/replays', json({ rate: 'fast' }), 400, 'rate'],
    ['a rate of nothing', 'POST', '/v1/replays', json({ rate: 0 }), 400, 'rate'],
    ['an unknown lane', 'POST', '/v1/replays', json({ lane: 'middle' }), 400, 'lane'],
    ['an unknown field', 'POST', '/v1/replays', json({ speed: 1 }), 400, 'speed'],
    ['a field below', 'POST', '/v1/replays', json({ filter: { colour: 1 } }), 400, 'filter.colour'],
    [
      'a patch that is none',
      'POST',
      '/v1/replays/plan',
      json({ patch: [{ op: 'shout', path: '/a' }] }),
      400,
      'patch[0].op',
    ],
    ['a task that is not there', 'GET', '/v1/replays/20260131T120000-1f2e3d', {}, 404, 'task'],
    ['a task that cannot be', 'POST', '/v1/replays/%2e%2e%2fheld/pause', {}, 404, 'task'],
    ['to resume nothing', 'POST', '/v1/replays/20260131T120000-1f2e3d/resume', json({}), 404, 'task'],
    ['to discard without a reason', 'POST', '/v1/dead-letters/discard', json({ which: [1] }), 400, 'because'],
    ['to discard nothing', 'POST', '/v1/dead-letters/discard', json({ because: 'x' }), 400, 'which'],
    [
      'to discard everything',
      'POST',
      '/v1/dead-letters/discard',
      json({ because: 'x', filter: {}, confirm: true }),
      400,
      'filter',
    ],
    [
      'to discard what is no token',
      'POST',
      '/v1/dead-letters/discard',
      json({ because: 'x', which: ['*'] }),
      400,
      'which.0',
    ],
    [
      'to purge without a subject',
      'POST',
      '/v1/dead-letters/purge',
      json({ because: 'x', confirm: true }),
      400,
      'subject',
    ],
    ['an import as JSON', 'POST', '/v1/dead-letters/import', json({}), 400, 'Content-Type'],
    ['an audit that shall be deep as text', 'POST', '/v1/audit', json({ deep: 'yes' }), 400, 'deep'],
  ]

  test.each(table)('%s', async (_what, method, path, given, status, field) => {
    const answer = await call(method, path, given)
    expect(answer.status, answer.text).toBe(status)
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(answer.json).toMatchObject({ status, title: expect.any(String), detail: expect.any(String) })
    if (field !== undefined) expect(answer.json).toMatchObject({ field, remedy: expect.any(String) })
    expect(answer.text).not.toMatch(/\.ts:\d+|node_modules|\bat \w+ \(/)
    expect(answer.text).not.toContain(TOKEN)
  })

  test('a call by a name that is not ours (DNS rebinding), but no probe', async () => {
    const { port } = new URL(control.address)
    const status = (path: string, host: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const headers = { host, authorization: `Bearer ${TOKEN}` }
        const asked = httpRequest({ host: '127.0.0.1', port, path, headers }, (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        })
        asked.on('error', reject).end()
      })
    expect(await status('/v1/status', `evil.example:${port}`)).toBe(421)
    expect(await status('/metrics', 'evil.example')).toBe(421)
    expect(await status('/v1/status', `localhost:${port}`)).toBe(200)
    expect(await status('/livez', 'evil.example')).toBe(200)
  })

  test('nothing was changed by any of it', async () => {
    expect((await call('GET', '/v1/watch')).json.acts).toEqual([])
    expect((await call('POST', '/v1/audit', { body: { full: true } })).json.clean).toBe(true)
  })
})

describe('docs/control.md', () => {
  test('names every route, and no other', async () => {
    const app = fastify()
    const routes: string[] = []
    app.addHook('onRoute', ({ method, url }) => {
      if (method !== 'HEAD') routes.push(`${String(method)} ${url.replaceAll(/:(\w+)/g, '{$1}')}`)
    })
    addApi(app, { nameOf: () => undefined, file: undefined }, () => expect.fail('no route is called'))
    await app.ready()
    await app.close()
    const page = await readFile(new URL('../../docs/control.md', import.meta.url), 'utf8')
    const named = [...page.matchAll(/^\| `((?:GET|POST) \/v1[^`]*)`/gm)].map(([, route]) => route)
    expect(named.sort()).toEqual(routes.sort())
  })

  test('has examples that work as they stand', async () => {
    await deadLetters(2)
    const page = await readFile(new URL('../../docs/control.md', import.meta.url), 'utf8')
    const [, script = ''] = /```sh\n# examples\n([\s\S]*?)```/.exec(page) ?? []
    expect(script.match(/^curl /gm)?.length).toBeGreaterThan(4)
    const env = { PATH: process.env.PATH, CONTROL: control.address, TOKEN }
    const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { env })
    expect(stdout).toContain('"matching":2')
    expect(stdout).toContain('"isThisOne":true')
    expect(stdout).not.toContain('about:blank')
  })
})

describe('the start of a control service', () => {
  test('refuses an address that others reach without a token, and a short token', async () => {
    for (const [env, said] of [
      [{ PELTON_CONTROL_HOST: '0.0.0.0', PELTON_CONTROL_TOKEN: '' }, /PELTON_CONTROL_HOST = 0\.0\.0\.0/],
      [{ PELTON_CONTROL_TOKEN: 'short' }, /16 characters at least \(PELTON_CONTROL_TOKEN/],
      [{ PELTON_CONTROL_PORT: new URL(control.address).port }, /PELTON_CONTROL_PORT/],
    ] as const) {
      const { ended: end, log } = spawnControl({ url: broker.url, dataDir, env })
      expect(await end).toBe(2)
      expect(JSON.stringify(log)).toMatch(said)
      expect(JSON.stringify(log)).not.toContain('"short"')
    }
  })

  test('keeps a generated token for its owner only, and takes it again', async () => {
    const folder = join(dataDir, 'generated')
    const tokens: string[] = []
    for (let round = 0; round < 2; round++) {
      const own = await startControl({ url: broker.url, dataDir: folder, env: { PELTON_CONTROL_TOKEN: '' } })
      const file = String(own.log.find(({ msg }) => msg === 'serving')?.tokenFile)
      const token = (await readFile(file, 'utf8')).trim()
      tokens.push(token)
      expect((await stat(file)).mode & 0o777).toBe(0o600)
      expect(JSON.stringify(own.log)).not.toContain(token)
      const headers = { authorization: `Bearer ${token}` }
      expect((await own.call('GET', '/v1/status', { headers })).status).toBe(200)
      expect((await own.call('GET', '/v1/status')).status).toBe(401)
      own.kill()
      expect(await own.ended).toBe(0)
    }
    expect(tokens[0]).toBe(tokens[1])
    expect(tokens[0]).toMatch(/^[0-9a-f]{64}$/)
  })

  test('takes several tokens by name, and the records say which', async () => {
    const [token] = await deadLetters(1)
    const second = 'second-token-of-the-tests'
    const env = { PELTON_CONTROL_TOKEN: `console:${TOKEN},ops:${second}` }
    const own = await startControl({ url: broker.url, dataDir, env })
    const headers = { authorization: `Bearer ${second}`, 'pelton-operator': 'alice' }
    const body = { which: [token], because: 'x', confirm: true }
    expect((await own.call('POST', '/v1/dead-letters/discard', { body, headers })).json.removed).toBe(1)
    const { acts } = (await own.call('GET', '/v1/dead-letters/history')).json
    expect(acts.at(-1).by).toBe('alice via ops')
    own.kill('SIGKILL')
    await own.ended
  })
})
