import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli, startCli } from './cli-process.ts'
import { type ControlProcess, startControl } from './control-process.ts'

const GOOD = JSON.stringify({
  features: {
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
  },
})
const COUNT = 150
const PATIENT = { timeout: 90_000, interval: 50 }

let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow
let worker: WorkerProcess
let dataDir: string
let controls: ControlProcess[]

beforeEach(async () => {
  controls = []
  dataDir = await mkdtemp(join(tmpdir(), 'pelton-control-'))
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision({ topology: { ackWaitMs: 3_000 } })
  window = new PublishWindow(connection)
  worker = await startWorkerProcess({ url: broker.url, models: DEMO_MODELS })
})

afterEach(async () => {
  for (const { kill } of [...controls, worker]) kill('SIGKILL')
  await Promise.all([...controls, worker].map(({ ended }) => ended))
  window.close()
  await broker.stop()
  await rm(dataDir, { recursive: true, force: true })
})

async function control(env: NodeJS.ProcessEnv = {}): Promise<ControlProcess> {
  const started = await startControl({ url: broker.url, dataDir, env })
  controls.push(started)
  return started
}

const stateOf = async (stream: string) => {
  const info = await streamInfo(connection, stream)
  return info?.state ?? { messages: 0, last_seq: 0 }
}

async function deadLetters(count: number): Promise<void> {
  const sent = Array.from({ length: count }, (_item, index) =>
    window.publish({
      subject: subjects.feature({ pool: 'default', model: 'flight-delay', lane: 'normal' }),
      headers: [
        [HEADERS.id, `event-${index}`],
        [HEADERS.source, 'test'],
        [HEADERS.expiryTime, '2020-01-01T00:00:00Z'],
      ],
      body: Buffer.from(GOOD),
    }),
  )
  await Promise.all(sent)
  await vi.waitFor(async () => {
    expect((await stateOf(STREAMS.deadLetters)).messages).toBe(count)
    expect((await stateOf(STREAMS.features)).messages).toBe(0)
  }, PATIENT)
}

async function startReplay(process: ControlProcess, rate = 60): Promise<string> {
  const body = { all: true, rate, rampSeconds: 0 }
  const started = await process.call('POST', '/v1/replays', { body, headers: { 'pelton-operator': 'ops' } })
  expect(started.status, started.text).toBe(202)
  return started.json.task.id
}

async function taskOf(process: ControlProcess, id: string) {
  return (await process.call('GET', `/v1/replays/${id}`)).json
}

/** Waits until some of it is done and some is not. */
async function inTheMiddle(): Promise<void> {
  await vi.waitFor(async () => {
    const { messages } = await stateOf(STREAMS.deadLetters)
    expect(messages).toBeLessThan(COUNT - 20)
    expect(messages).toBeGreaterThan(20)
  }, PATIENT)
}

/** Kills a control service that starts or resumes a replay once the broker has stored its first record of a kind. */
async function killedAfter(kind: 'task' | 'hosted', task: readonly string[] = []): Promise<void> {
  const { url, execArgv } = siblingEntry(import.meta.url, './hosted-crash-process')
  const child = spawn(process.execPath, [...execArgv, fileURLToPath(url), broker.url, `.${kind}.`, ...task], {
    stdio: 'inherit',
  })
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL'])
}

/** Waits until a control service has looked for another eight seconds: one that is silent is found out in six. */
async function eightSecondsOf(process: ControlProcess): Promise<void> {
  const looks = async (): Promise<string> => (await process.call('GET', '/v1/watch')).json.lookedAt
  await vi.waitFor(async () => expect(await looks()).not.toBe(''), PATIENT)
  const first = await looks()
  await vi.waitFor(
    async () => expect(Date.parse(await looks())).toBeGreaterThan(Date.parse(first) + 8_000),
    PATIENT,
  )
}

/** Keys of a kind that are left of replays. */
async function keptOf(kind: 'held' | 'hosted'): Promise<string[]> {
  const kept = await readStream(connection, 'KV_pelton-replays')
  return kept.map(({ subject }) => subject).filter((subject) => subject.includes(`.${kind}.`))
}

/** Each dead letter became one prediction, was sent once, and is counted once. */
async function expectOnce(process: ControlProcess, id: string): Promise<void> {
  await vi.waitFor(async () => expect((await taskOf(process, id)).state).toBe('done'), PATIENT)
  expect((await taskOf(process, id)).counts).toMatchObject({ predicted: COUNT, failed: 0, superseded: 0 })
  const { predictions, deadLetters: left } = await readOutcomes(connection)
  expect([predictions.size, left.size]).toEqual([COUNT, 0])
  const results = await readStream(connection, STREAMS.results)
  expect(results).toHaveLength(2 * COUNT) // the failure notice and the prediction of each
  expect((await stateOf(STREAMS.features)).last_seq).toBe(2 * COUNT)
  expect(await keptOf('held')).toEqual([])
  await vi.waitFor(async () => expect(await keptOf('hosted')).toEqual([]), PATIENT)
  expect((await process.call('POST', '/v1/audit', { body: { deep: true } })).json.clean).toBe(true)
}

describe('a replay that a control service runs', () => {
  test('goes on after kill -9 of its control service, nothing twice', async () => {
    await deadLetters(COUNT)
    const first = await control()
    const id = await startReplay(first)
    await inTheMiddle()
    first.kill('SIGKILL')
    expect(await first.ended).toBe('SIGKILL')
    const second = await control({ PELTON_CONTROL_NAME: 'second' })
    await expectOnce(second, id)
    const { events, by } = await taskOf(second, id)
    expect(by).toBe('ops')
    expect(events).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ by: 'second', what: 'resumed: the process that ran it was gone' }),
      ]),
    )
  })

  test('is paused by SIGTERM and goes on at the next start', async () => {
    await deadLetters(COUNT)
    const first = await control()
    const id = await startReplay(first)
    await inTheMiddle()
    first.kill('SIGTERM')
    expect(await first.ended).toBe(0)
    const paused = await runCli(['replay', 'status', id, '--json'], { env: { PELTON_NATS_URL: broker.url } })
    expect(paused.json()[0].state).toBe('paused')
    await expectOnce(await control(), id)
  })

  test('is taken over by another control service that runs beside it', async () => {
    await deadLetters(COUNT)
    const second = await control()
    const first = await control()
    const id = await startReplay(first)
    await inTheMiddle()
    first.kill('SIGKILL')
    await expectOnce(second, id)
  })

  test('stays paused when an operator paused it, also while no control service ran', async () => {
    await deadLetters(COUNT)
    const first = await control()
    const [one, env] = [await startReplay(first), { PELTON_NATS_URL: broker.url, USER: 'ops' }]
    await inTheMiddle()
    first.kill('SIGKILL')
    await first.ended
    const halted = await runCli(['replay', 'pause', one], { env })
    expect(halted.code, halted.err).toBe(0)
    const second = await control()
    await vi.waitFor(async () => expect(await keptOf('hosted')).toEqual([]), PATIENT)
    expect((await taskOf(second, one)).state).toBe('paused')
    expect((await second.call('POST', `/v1/replays/${one}/resume`, { body: { rate: 1_000 } })).status).toBe(
      202,
    )
    await expectOnce(second, one)
  })

  test('is left to its operator when it is one of the command line', async () => {
    await deadLetters(COUNT)
    const env = { PELTON_NATS_URL: broker.url, USER: 'ops' }
    const cli = startCli(['replay', 'start', '--all', '--rate', '60', '--ramp', '0'], { env })
    await inTheMiddle()
    cli.child.kill('SIGKILL')
    await cli.ended
    const process = await control({ PELTON_WATCH_MS: '100' })
    await eightSecondsOf(process)
    const [task] = (await process.call('GET', '/v1/replays')).json.replays
    expect(task.state).toBe('running')
    expect(task.events.some(({ what }: { what: string }) => what.startsWith('resumed'))).toBe(false)
  })
})

describe('a control service that is killed while it takes a replay', () => {
  test('leaves one that another goes on with, once the task is written', async () => {
    await deadLetters(COUNT)
    await killedAfter('task')
    expect(await keptOf('hosted')).toHaveLength(1)
    const process = await control()
    const [task] = (await process.call('GET', '/v1/replays')).json.replays
    expect(task).toMatchObject({ state: 'running', by: 'ops' })
    await expectOnce(process, task.id)
  })

  test('leaves nothing when the task is not written yet', async () => {
    await deadLetters(3)
    await killedAfter('hosted')
    expect(await keptOf('hosted')).toHaveLength(1)
    const process = await control()
    await vi.waitFor(async () => expect(await keptOf('hosted')).toEqual([]), PATIENT)
    expect((await process.call('GET', '/v1/replays')).json.replays).toEqual([])
    expect((await stateOf(STREAMS.deadLetters)).messages).toBe(3)
  })

  test('leaves one that was paused as it was, or resumed, and never with two that run it', async () => {
    await deadLetters(COUNT)
    const first = await control()
    const id = await startReplay(first)
    await inTheMiddle()
    expect((await first.call('POST', `/v1/replays/${id}/pause`)).json.state).toBe('paused')
    await killedAfter('hosted', [id])
    await vi.waitFor(async () => expect(await keptOf('hosted')).toEqual([]), PATIENT)
    expect((await taskOf(first, id)).state).toBe('paused')
    await killedAfter('task', [id])
    const second = await control()
    await expectOnce(second, id)
    const resumed = (await taskOf(second, id)).events.filter(({ what }: { what: string }) =>
      what.startsWith('resumed'),
    )
    expect(resumed).toHaveLength(2) // by the one that was killed, and by one of the two that saw it
  })

  test('leaves what the command line runs since then to its operator', async () => {
    await deadLetters(COUNT)
    await killedAfter('task')
    const env = { PELTON_NATS_URL: broker.url, USER: 'ops' }
    const [{ id }] = (await runCli(['replay', 'list', '--json'], { env })).json()
    const cli = startCli(['replay', 'resume', id], { env })
    await inTheMiddle()
    cli.child.kill('SIGKILL')
    await cli.ended
    const process = await control({ PELTON_WATCH_MS: '100' })
    await eightSecondsOf(process)
    expect((await taskOf(process, id)).state).toBe('running')
    const kept = (await taskOf(process, id)).events.map(({ what }: { what: string }) => what)
    expect(kept.filter((what: string) => what.startsWith('resumed'))).toHaveLength(1)
    await vi.waitFor(async () => expect(await keptOf('hosted')).toEqual([]), PATIENT)
  })
})

describe('pelton up and pelton control', () => {
  test('up runs a control service, says where, and --no-control leaves it out', async () => {
    const env = { PELTON_DATA: join(dataDir, 'up'), PELTON_CONTROL_PORT: '0' }
    const up = startCli(['up'], { env })
    try {
      await up.until('takes events')
      await up.until('control: http://127.0.0.1:')
      const [, address = '', file] = /control: (\S+), token in (\S+)/.exec(up.err()) ?? []
      expect(file).toBe(join(dataDir, 'up', 'control.token'))
      expect((await fetch(`${address}/readyz`)).status).toBe(200)
      expect((await fetch(`${address}/v1/status`)).status).toBe(401)
    } finally {
      up.child.kill('SIGTERM')
    }
    expect(await up.ended).toBe(0)
    const without = startCli(['up', '--no-control'], { env })
    await without.until('takes events')
    without.child.kill('SIGTERM')
    expect(await without.ended).toBe(0)
    expect(without.err()).not.toContain('control:')
  })

  test('control runs alone, in the foreground, and stops at the first signal', async () => {
    const alone = startCli(['control'], {
      env: { PELTON_NATS_URL: broker.url, PELTON_DATA: dataDir, PELTON_CONTROL_PORT: '0' },
    })
    await alone.until('"msg":"serving"')
    alone.child.kill('SIGINT')
    expect(await alone.ended).toBe(0)
    expect(alone.out()).toContain('"state":"stopped"')
    await requestApi(connection, `STREAM.DELETE.${STREAMS.ledger}`)
    const refused = await runCli(['control'], {
      env: { PELTON_NATS_URL: broker.url, PELTON_DATA: dataDir, PELTON_CONTROL_PORT: '0' },
    })
    expect(refused.code).toBe(1)
    expect(refused.out).toContain('pelton provision')
  })
})
