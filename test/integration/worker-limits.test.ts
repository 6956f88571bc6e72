import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { type Outcomes, readOutcomes } from '../kit/outcomes.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'

const MODEL = 'identity-fp32'
const PAYLOAD = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] }] })

let folder: Awaited<ReturnType<typeof modelsFolder>>
let workers: WorkerProcess[]

beforeEach(async () => {
  workers = []
  folder = await modelsFolder([MODEL])
})

afterEach(async () => {
  for (const worker of workers) worker.kill('SIGKILL')
  await Promise.all(workers.map(({ ended }) => ended))
  await folder.remove()
})

async function openBroker(...[options]: Parameters<typeof startTestBroker>): Promise<TestBroker> {
  const broker = await startTestBroker(options)
  onTestFinished(() => broker.stop())
  return broker
}

async function startWorker(broker: TestBroker, env: NodeJS.ProcessEnv = {}): Promise<WorkerProcess> {
  const worker = await startWorkerProcess({ url: broker.url, models: folder.path, env })
  workers.push(worker)
  return worker
}

/** Stores an event under any subject, with any headers, and is told so. */
async function publish(
  connection: NatsConnection,
  { model = MODEL, lane = 'normal', body = PAYLOAD, id = 'a', ...extra }: Readonly<Record<string, string>>,
): Promise<void> {
  const block = headers()
  const given = { [HEADERS.id]: id, [HEADERS.source]: 'test', ...extra }
  for (const [name, value] of Object.entries(given)) block.set(name, value)
  const reply = await connection.request(`features.default.${model}.${lane}`, body, {
    headers: block,
    timeout: 5_000,
  })
  expect(reply.json()).toMatchObject({ stream: STREAMS.features })
}

async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isSo())) await sleep(50)
}

async function settled(connection: NatsConnection, count: number): Promise<Outcomes> {
  for (;;) {
    const outcomes = await readOutcomes(connection)
    if (outcomes.waiting === 0 && outcomes.predictions.size + outcomes.failures.size >= count) return outcomes
    await sleep(100)
  }
}

const reasonsOf = ({ deadLetters }: Outcomes): (string | undefined)[] =>
  [...deadLetters.values()].map(({ headers: found }) => readHeader(found, HEADERS.deadLetterReason))

test('a backlog of large events in two lanes is answered within little memory', async () => {
  const broker = await openBroker()
  const connection = await broker.connect()
  await broker.provision()
  const count = 1_500
  const window = new PublishWindow(connection)
  const body = Buffer.from(PAYLOAD + ' '.repeat(60_000))
  for (let from = 0; from < count; from += 100)
    await Promise.all(
      Array.from({ length: 100 }, async (_event, offset) => {
        const lane = offset % 2 === 0 ? 'normal' : 'low'
        const subject = `features.default.${MODEL}.${lane}`
        const reply = await window.publish({ subject, headers: [[HEADERS.id, `${from + offset}`]], body })
        expect(reply.kind).toBe('stored')
      }),
    )
  window.close()
  // Pulls are cut by bytes again and again: no more than a few hundred of these fit.
  await startWorker(broker, { PELTON_HELD_BYTES: String(16 * 1024 ** 2) })
  await until(async () => (await streamInfo(connection, STREAMS.results))?.state.messages === count)
})

test('a subject that grows beyond its limit when it is encoded makes a dead letter, and no worker ends', async () => {
  const broker = await openBroker()
  const connection = await broker.connect()
  await broker.provision()
  const worker = await startWorker(broker)
  await publish(connection, { model: '!'.repeat(86), id: 'ascii' })
  await publish(connection, { model: '數'.repeat(32), id: 'wide' })
  await publish(connection, { id: 'good' })
  const outcomes = await settled(connection, 3)
  expect(reasonsOf(outcomes)).toEqual(['unknown-model', 'unknown-model'])
  expect(outcomes.predictions.size).toBe(1)
  worker.kill('SIGTERM')
  expect(await worker.ended).toBe(0)
})

test('a structured event that is longer once it is read becomes a dead letter as it was stored', async () => {
  const broker = await openBroker()
  const connection = await broker.connect()
  await broker.provision()
  await startWorker(broker)
  const data = `{"inputs":[${Array(60_000).fill('1e20').join(',')}]}`
  const envelope = `{"specversion":"1.0","id":"s","source":"test","type":"t","data":${data}}`
  await publish(connection, { body: envelope, 'Content-Type': 'application/cloudevents+json' })
  await publish(connection, { id: 'good' })
  const outcomes = await settled(connection, 2)
  expect(outcomes.predictions.size).toBe(1)
  const [letter] = outcomes.deadLetters.values()
  expect(Buffer.from(letter?.body ?? []).toString()).toBe(envelope)
  expect(readHeader(letter?.headers ?? new Map(), 'content-type')).toBe('application/cloudevents+json')
  expect(readHeader(letter?.headers ?? new Map(), HEADERS.id)).toBe('s')
})

test('an event larger than a limit that was lowered since stays until it is raised again; others go on', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'pelton-limits-'))
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
  const first = await openBroker({ dataDir })
  await first.provision()
  const before = await first.connect()
  await publish(before, { id: 'large', body: `{"rows": "${'x'.repeat(600_000)}"}` })
  await first.stop()

  const lowered = await openBroker({ dataDir, config: 'max_payload: 256KB' })
  const meanwhile = await lowered.connect()
  const worker = await startWorker(lowered)
  await publish(meanwhile, { id: 'good' })
  await until(() => worker.log.some(({ msg }) => String(msg).includes('max_payload')))
  await until(async () => (await readOutcomes(meanwhile)).predictions.size === 1)
  expect((await streamInfo(meanwhile, STREAMS.deadLetters))?.state.messages).toBe(0)
  worker.kill('SIGTERM')
  expect(await worker.ended).toBe(0)
  await lowered.stop()

  const raised = await openBroker({ dataDir })
  await startWorker(raised)
  expect(reasonsOf(await settled(await raised.connect(), 2))).toEqual(['malformed'])
})

test('without the bucket of start marks a worker stops pulling and says so, until it is there again', async () => {
  const broker = await openBroker()
  const connection = await broker.connect()
  await broker.provision()
  await requestApi(connection, `STREAM.DELETE.${STORES.starts}`)
  await publish(connection, { id: 'again', [HEADERS.attempt]: '2' }) // a suspect from its first delivery
  const worker = await startWorker(broker)
  const refusing = ({ refusing: told = {} }: Readonly<Record<string, unknown>>): boolean =>
    STORES.starts in (told as object)
  await until(() => worker.log.some(refusing))
  await broker.provision()
  expect((await settled(connection, 1)).predictions.size).toBe(1)
})
