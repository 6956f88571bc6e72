import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { consumerInfo } from '../../shared/sdk/jetstream/api.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { type Outcomes, readOutcomes, readStream } from '../kit/outcomes.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'

let broker: TestBroker
let connection: NatsConnection
let folder: Awaited<ReturnType<typeof modelsFolder>>
let workers: WorkerProcess[]

beforeEach(async () => {
  workers = []
  folder = await modelsFolder(['gather', 'identity-fp32'])
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision({ pools: ['default', 'other pool'] })
})

afterEach(async () => {
  for (const worker of workers) worker.kill('SIGKILL')
  await Promise.all(workers.map(({ ended }) => ended))
  await broker.stop()
  await folder.remove()
})

async function startWorker(env: NodeJS.ProcessEnv = {}): Promise<WorkerProcess> {
  const worker = await startWorkerProcess({ url: broker.url, models: folder.path, env })
  workers.push(worker)
  return worker
}

async function publish(pool: string, model: string, id: string, body: object): Promise<string> {
  const block = headers()
  block.set('ce-id', id)
  block.set('ce-source', 'test')
  block.set('x-tenant', 'blue')
  const subject = subjects.feature({ pool, model, lane: 'low' })
  await connection.request(subject, JSON.stringify(body), { headers: block, timeout: 5_000 })
  return eventToken(model, 'test', id)
}

const indices = (...data: number[]): object => ({
  inputs: [{ name: 'index', shape: [data.length], datatype: 'INT64', data }],
})
const numbers = (value: number): object => ({
  inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [value, 0] }],
})

async function settled(count: number): Promise<Outcomes> {
  for (;;) {
    const outcomes = await readOutcomes(connection)
    if (outcomes.waiting === 0 && outcomes.predictions.size + outcomes.failures.size >= count) return outcomes
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

describe('retry lane', () => {
  test('an event its model fails on is tried three times, then a dead letter with its whole history', async () => {
    // The index lies outside the model's table: the runtime fails on it each time.
    const token = await publish('default', 'gather', 'outside', indices(1_000_000))
    const neighbours = await Promise.all(
      [1, 2, 3].map((value) => publish('default', 'identity-fp32', `n${value}`, numbers(value))),
    )
    await startWorker()
    const outcomes = await settled(4)
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(neighbours))
    const deadLetter = outcomes.deadLetters.get(token)!
    const header = (name: string): string | undefined => readHeader(deadLetter.headers, name)
    expect(header(HEADERS.deadLetterReason)).toBe('inference-failed')
    expect(header(HEADERS.attempt)).toBe('3')
    expect(
      header(HEADERS.history)
        ?.split('; ')
        .map((entry) => entry.replace(/^\S+ /, '')),
    ).toEqual([1, 2, 3].map((attempt) => `inference-failed attempt=${attempt} version=1`))
    expect(header(HEADERS.originalSubject)).toBe('features.default.gather.low')
    expect(header(HEADERS.originalSequence)).toBe('1')
    expect(header('x-tenant')).toBe('blue')
    expect(JSON.parse(Buffer.from(deadLetter.body).toString())).toEqual(indices(1_000_000))
    expect(outcomes.ledger.get(1)).toEqual(['retried'])
    const fromRetries = (await readStream(connection, STREAMS.ledger))
      .map(({ body }) => decodeLedgerRecord(body))
      .filter(({ stream }) => stream === STREAMS.retries)
      .flatMap(({ entries }) => entries.map(({ outcome, token: named }) => [outcome, named]))
    expect(fromRetries).toEqual([
      ['retried', token],
      ['dead-lettered', token],
    ])
  })

  test('an event its model fails on costs its neighbours in the batch nothing', async () => {
    const good = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        publish('default', 'gather', `good-${index}`, indices(1_000 + (index % 4))),
      ),
    )
    const bad = await publish('default', 'gather', 'outside', indices(1_000_000))
    good.push(await publish('default', 'gather', 'last', indices(1_003)))
    await startWorker({ PELTON_LINGER_MS: '200' })
    const { predictions, deadLetters } = await settled(good.length + 1)
    expect([...deadLetters.keys()]).toEqual([bad])
    expect(new Set(predictions.keys())).toEqual(new Set(good))
    const attempts = [...predictions.values()].map(({ headers: found }) => readHeader(found, HEADERS.attempt))
    expect(new Set(attempts)).toEqual(new Set(['1']))
  })

  test('a model that fails on everything ends as dead letters, also beyond the retry budget', async () => {
    const tokens = await Promise.all(
      Array.from({ length: 130 }, (_, index) =>
        publish('default', 'gather', `bad-${index}`, indices(1_000_000 + index)),
      ),
    )
    await startWorker()
    const outcomes = await settled(tokens.length)
    expect(new Set(outcomes.deadLetters.keys())).toEqual(new Set(tokens))
  })
})

describe('one outcome', () => {
  test('a prediction that a paused worker still held is refused once another has made a dead letter of its event', async () => {
    await broker.provision({ topology: { ackWaitMs: 1_000 }, pools: ['default', 'other pool'] })
    const [slow, without] = [await modelsFolder(['counts-up']), await modelsFolder(['identity-fp32'])]
    onTestFinished(async () => void (await Promise.all([slow.remove(), without.remove()])))
    await writeFile(join(slow.path, 'counts-up/1/manifest.yaml'), 'limits:\n  timeoutMs: 600000\n')
    const paused = await startWorker({ PELTON_MODELS: slow.path, PELTON_GRACE_MS: '120000' })
    // A run long enough to be stopped in: the worker has a prediction to store when it wakes up, and no other outcome.
    const turns = { inputs: [{ name: 'x', shape: [1, 1], datatype: 'FP32', data: [1_000_000] }] }
    const token = await publish('default', 'counts-up', 'late', turns)
    const consumer = featureConsumer('default', 'low').durable_name
    const inHand = async (): Promise<number | undefined> =>
      (await consumerInfo(connection, STREAMS.features, consumer))?.num_ack_pending
    while ((await inHand()) !== 1) await sleep(5)
    paused.kill('SIGSTOP')
    await startWorker({ PELTON_MODELS: without.path })
    while ((await readOutcomes(connection)).deadLetters.size === 0) await sleep(100)
    paused.kill('SIGCONT')
    paused.kill('SIGTERM') // it has tried to settle what it holds when it has drained
    expect(await paused.ended).toBe(0)
    const { predictions, failures, deadLetters, ledger } = await readOutcomes(connection)
    expect([predictions.size, [...failures.keys()], [...deadLetters.keys()]]).toEqual([0, [token], [token]])
    expect(readHeader(deadLetters.get(token)!.headers, HEADERS.deadLetterReason)).toBe('unknown-model')
    expect(ledger.get(1)).toEqual(['dead-lettered', 'already-answered'])
  })
})

describe('pools', () => {
  test('each pool is served by its own workers on one broker', async () => {
    const here = await publish('default', 'identity-fp32', 'here', numbers(1))
    const there = await publish('other pool', 'identity-fp32', 'there', numbers(2))
    const first = await startWorker({ PELTON_WORKER: 'first' })
    let outcomes = await readOutcomes(connection)
    while (outcomes.predictions.size < 1) outcomes = await readOutcomes(connection)
    first.kill('SIGTERM')
    expect(await first.ended).toBe(0)
    expect((await readOutcomes(connection)).waiting).toBe(1)
    await startWorker({ PELTON_WORKER: 'second', PELTON_POOL: 'other pool' })
    outcomes = await settled(2)
    const workerOf = (token: string): string | undefined =>
      readHeader(outcomes.predictions.get(token)!.headers, HEADERS.worker)
    expect([workerOf(here), workerOf(there)]).toEqual(['first', 'second'])
  })
})
