import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { HEADERS, type HeaderEntry, readHeader } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken, payloadDigest } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli } from './cli-process.ts'

const FEATURES = {
  origin: 'DTW',
  destination: 'ORD',
  hour: 18,
  weekday: 5,
  distance: 235,
  origin_delay: 12.5,
  inbound_delay: 9,
  destination_delay: 20,
  route_delay: 15,
  origin_departures: 30,
}
const GOOD = JSON.stringify({ features: FEATURES })
const SURPLUS = JSON.stringify({ features: { ...FEATURES, gate: 'A1' } })
const LACKING = JSON.stringify({ features: { origin: 'DTW' } })
const MEND = '[{"op":"remove","path":"/features/gate"}]'
const MODEL = 'flight-delay'
const FAST = ['--rate', '1000', '--ramp', '0']

let folder: string
let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow
let worker: WorkerProcess
let env: NodeJS.ProcessEnv

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-edit-'))
})

beforeEach(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision({ topology: { ackWaitMs: 3_000 } })
  window = new PublishWindow(connection)
  env = { PELTON_NATS_URL: broker.url, USER: 'ops' }
  worker = await startWorkerProcess({ url: broker.url, models: DEMO_MODELS })
})

afterEach(async () => {
  worker.kill('SIGKILL')
  await worker.ended
  window.close()
  await broker.stop()
})

afterAll(() => rm(folder, { recursive: true, force: true }))

async function publish(id: string, body: string, extra: readonly HeaderEntry[] = []): Promise<string> {
  const reply = await window.publish({
    subject: subjects.feature({ pool: 'default', model: MODEL, lane: 'normal' }),
    headers: [[HEADERS.id, id], [HEADERS.source, 'test'], ...extra],
    body: Buffer.from(body),
  })
  expect(reply.kind).toBe('stored')
  return eventToken(MODEL, 'test', id)
}

const countIn = async (stream: string): Promise<number> =>
  (await streamInfo(connection, stream))?.state.messages ?? 0

async function settled(): Promise<void> {
  await vi.waitFor(async () => expect(await countIn(STREAMS.features)).toBe(0), { timeout: 60_000 })
}

const conflicts = (): unknown[] =>
  worker.log.filter(({ msg }) => msg === 'the same id was used with another payload')

describe('a replay with a patch', () => {
  test('mends what it applies to, says beforehand how many, and leaves the rest a dead letter', async () => {
    const mended = await publish('surplus', SURPLUS)
    const left = await publish('lacking', LACKING)
    await settled()
    const plan = await runCli(['replay', 'plan', '--patch', MEND], { env })
    expect(plan.out, plan.err).toMatch(/2 dead letters match, 1 would be sent/)
    expect(plan.out).toContain('1  left alone: patch[0] remove /features/gate: there is nothing at this path')
    expect(plan.out).toMatch(/before\n {2}\{.*"gate":"A1".*\nand after\n {2}\{(?!.*gate)/)
    expect(await countIn(STREAMS.deadLetters)).toBe(2)

    const file = join(folder, 'mend.json')
    await writeFile(file, MEND)
    const { code, err, json } = await runCli(
      ['replay', 'start', '--all', '--patch', file, '--json', ...FAST],
      { env },
    )
    expect(code, err).toBe(0)
    const [task] = json()
    expect(task).toMatchObject({
      state: 'done',
      options: { patch: MEND },
      counts: { predicted: 1, failed: 0 },
    })
    expect(Object.values(task.counts.skipped)).toEqual([1])
    const { predictions, deadLetters } = await readOutcomes(connection)
    expect([...deadLetters.keys()]).toEqual([left])
    const headers = predictions.get(mended)?.headers ?? new Map()
    expect(readHeader(headers, HEADERS.inputDigest)).toBe(payloadDigest(Buffer.from(GOOD)))
    expect(readHeader(headers, HEADERS.originalDigest)).toBe(payloadDigest(Buffer.from(SURPLUS)))
  })

  test('is no conflict with the event as it was, however late that is handed out again', async () => {
    const token = await publish('surplus', SURPLUS)
    await settled()
    await runCli(['replay', 'start', '--all', '--patch', MEND, ...FAST], { env })
    await publish('surplus', SURPLUS)
    await settled()
    expect(conflicts()).toEqual([])
    await publish('surplus', LACKING)
    await settled()
    await vi.waitFor(() => expect(conflicts()).toHaveLength(1), { timeout: 10_000 })
    const { predictions, deadLetters, failures } = await readOutcomes(connection)
    expect([predictions.has(token), deadLetters.size, failures.size]).toEqual([true, 0, 1])
  })

  test('that is wrong is refused with operation and member, before anything is touched', async () => {
    const patch = '[{"op":"test","path":"/a","value":1},{"op":"replace","path":"b","value":1}]'
    const { code, err } = await runCli(['replay', 'start', '--all', '--patch', patch], { env })
    expect([code, err]).toEqual([expect.any(Number), expect.stringContaining('patch[1].path = "b"')])
    expect(code).not.toBe(0)
  })
})

describe('a replay', () => {
  test('does not wait for an event that would be another: its id cannot be read', async () => {
    await publish('%FF', GOOD)
    await settled()
    expect(await countIn(STREAMS.deadLetters)).toBe(1)
    const args = ['replay', 'start', '--reason', 'malformed', '--json', ...FAST]
    const { code, json, err } = await runCli(args, { env })
    expect(code, err).toBe(0)
    expect(Object.keys(json()[0].counts.skipped)).toEqual([expect.stringContaining('another event')])
    expect(await countIn(STREAMS.deadLetters)).toBe(1)
  })

  test('asks for the version its producer asked for, and not for the one that failed', async () => {
    const expired: HeaderEntry = [HEADERS.expiryTime, '2020-01-01T00:00:00Z']
    const pinned = await publish('pinned', GOOD, [expired, [HEADERS.modelVersion, '1']])
    const free = await publish('free', GOOD, [expired])
    await settled()
    const { err } = await runCli(['replay', 'start', '--all', ...FAST], { env })
    expect(err).toContain('1 ask for a model version, and will again')
    const { predictions } = await readOutcomes(connection)
    const versionOf = (token: string) =>
      readHeader(predictions.get(token)?.headers ?? new Map(), HEADERS.modelVersion)
    expect([versionOf(pinned), versionOf(free)]).toEqual(['1', '2'])
  })
})

describe('a dead letter', () => {
  test('that was discarded does not come back when its event is handed out once more', async () => {
    const token = await publish('bad', LACKING)
    await settled()
    const args = ['dead-letters', 'discard', token, '--because', 'x', '--yes']
    expect((await runCli(args, { env })).code).toBe(0)
    await publish('bad', LACKING)
    await settled()
    expect(await countIn(STREAMS.deadLetters)).toBe(0)
  })

  test('that nobody discarded is made anew: a worker may have ended before it stored it', async () => {
    await publish('bad', LACKING)
    await settled()
    const [letter] = await readStream(connection, STREAMS.deadLetters)
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.deadLetters}`, { seq: letter?.sequence })
    await publish('bad', LACKING)
    await settled()
    expect(await countIn(STREAMS.deadLetters)).toBe(1)
  })

  test('shows each of its failures: when, why, which attempt, which version, which replay', async () => {
    const token = await publish('bad', LACKING)
    await settled()
    const { json } = await runCli(['replay', 'start', '--reason', 'schema-mismatch', '--json', ...FAST], {
      env,
    })
    const shown = await runCli(['dead-letters', 'show', token, '--json'], { env })
    expect(shown.json()[0].history).toMatchObject([
      { reason: 'schema-mismatch', attempt: 1 },
      { reason: 'schema-mismatch', attempt: 1, replay: json()[0].id },
    ])
    const { out } = await runCli(['dead-letters', 'show', token], { env })
    expect(out).toMatch(/History\n.*schema-mismatch {2}attempt 1.*\n.*schema-mismatch {2}attempt 1.*replay /)
  })
})
