import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { ALIVE_MS } from '../../shared/operations/models/presence.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import { featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { consumerInfo } from '../../shared/sdk/jetstream/api.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

let pipeline: Pipeline
let connection: NatsConnection
let folder: Awaited<ReturnType<typeof modelsFolder>>

beforeEach(async () => {
  folder = await modelsFolder(['gather', 'identity-fp32'])
  pipeline = await openPipeline({ pools: ['default', 'other pool'], models: folder.path })
  connection = pipeline.connection
})

afterEach(async () => {
  await pipeline.close()
  await folder.remove()
})

const publish = (pool: string, model: string, id: string, body: object, more = {}): Promise<string> =>
  pipeline.publish({ pool, model, id, body, lane: 'low', headers: { 'x-tenant': 'blue', ...more } })

const indices = (...data: number[]): object => ({
  inputs: [{ name: 'index', shape: [data.length], datatype: 'INT64', data }],
})
const numbers = (value: number): object => ({
  inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [value, 0] }],
})

describe('retry lane', () => {
  test('an event its model fails on is tried three times, then a dead letter with its whole history', async () => {
    // The index lies outside the model's table: the runtime fails on it each time.
    const token = await publish('default', 'gather', 'outside', indices(1_000_000))
    const neighbours = await Promise.all(
      [1, 2, 3].map((value) => publish('default', 'identity-fp32', `n${value}`, numbers(value))),
    )
    await pipeline.startWorker()
    const outcomes = await pipeline.settled([token, ...neighbours])
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
    await pipeline.startWorker({ PELTON_LINGER_MS: '200' })
    const { predictions, deadLetters } = await pipeline.settled([...good, bad])
    expect([...deadLetters.keys()]).toEqual([bad])
    expect(new Set(predictions.keys())).toEqual(new Set(good))
    const attempts = [...predictions.values()].map(({ headers: found }) => readHeader(found, HEADERS.attempt))
    expect(new Set(attempts)).toEqual(new Set(['1']))
  })

  test('what a model fails on, as on most of its events, ends as dead letters, also beyond the retry budget', async () => {
    // Each fifth succeeds: else its breaker would open.
    const isGood = (at: number): boolean => at % 5 === 0
    const tokens = await Promise.all(
      Array.from({ length: 163 }, (_, at) =>
        publish('default', 'gather', `event-${at}`, indices(isGood(at) ? 1_000 : 1_000_000 + at)),
      ),
    )
    await pipeline.startWorker()
    const outcomes = await pipeline.settled(tokens)
    const bad = tokens.filter((_token, at) => !isGood(at))
    expect(new Set(outcomes.deadLetters.keys())).toEqual(new Set(bad))
  })
})

describe('one outcome', () => {
  test('a prediction that a paused worker still held is dropped once another has made a dead letter of its event', async () => {
    await pipeline.broker.provision({ topology: { ackWaitMs: 1_000 }, pools: ['default', 'other pool'] })
    const [slow, without] = [await modelsFolder(['counts-up']), await modelsFolder(['identity-fp32'])]
    onTestFinished(async () => void (await Promise.all([slow.remove(), without.remove()])))
    await writeFile(join(slow.path, 'counts-up/1/manifest.yaml'), 'limits:\n  timeoutMs: 600000\n')
    const paused = await pipeline.startWorker({ PELTON_MODELS: slow.path, PELTON_GRACE_MS: '120000' })
    // A run long enough to be stopped in: the worker has a prediction to store when it wakes up, and no other outcome.
    const turns = { inputs: [{ name: 'x', shape: [1, 1], datatype: 'FP32', data: [1_000_000] }] }
    // Only for the other: it has not that model, and hands the event on until its deadline has passed. That is sooner than
    // the stopped worker counts as gone, from when on it would park it.
    const deadline = new Date(Date.now() + 0.6 * ALIVE_MS).toISOString()
    const token = await publish('default', 'counts-up', 'late', turns, { 'ce-expirytime': deadline })
    const consumer = featureConsumer('default', 'low').durable_name
    const inHand = async (): Promise<number | undefined> =>
      (await consumerInfo(connection, STREAMS.features, consumer))?.num_ack_pending
    await eventually('the event to be in its hand', async () => (await inHand()) === 1, { everyMs: 5 })
    paused.kill('SIGSTOP')
    await pipeline.startWorker({ PELTON_MODELS: without.path })
    await eventually('its dead letter', async () => (await readOutcomes(connection)).deadLetters.size === 1)
    paused.kill('SIGCONT')
    paused.kill('SIGTERM') // it has tried to settle what it holds when it has drained
    expect(await paused.ended).toBe(0)
    const { predictions, failures, deadLetters, ledger } = await readOutcomes(connection)
    expect([predictions.size, [...failures.keys()], [...deadLetters.keys()]]).toEqual([0, [token], [token]])
    expect(readHeader(deadLetters.get(token)!.headers, HEADERS.deadLetterReason)).toBe('deadline-exceeded')
    // The broker may have handed it out to the stopped worker once more, where a pull of its still waited: as late.
    expect(ledger.get(1)).toEqual(['dead-lettered'])
    expect(paused.log.some(({ msg }) => String(msg).startsWith('deliveries are dropped'))).toBe(true)
  })
})

describe('pools', () => {
  test('each pool is served by its own workers on one broker', async () => {
    const here = await publish('default', 'identity-fp32', 'here', numbers(1))
    const there = await publish('other pool', 'identity-fp32', 'there', numbers(2))
    const first = await pipeline.startWorker({ PELTON_WORKER: 'first' })
    await eventually(
      'the prediction of its own pool',
      async () => (await readOutcomes(connection)).predictions.size === 1,
    )
    first.kill('SIGTERM')
    expect(await first.ended).toBe(0)
    expect((await readOutcomes(connection)).waiting).toBe(1)
    await pipeline.startWorker({ PELTON_WORKER: 'second', PELTON_POOL: 'other pool' })
    const outcomes = await pipeline.settled([here, there])
    const workerOf = (token: string): string | undefined =>
      readHeader(outcomes.predictions.get(token)!.headers, HEADERS.worker)
    expect([workerOf(here), workerOf(there)]).toEqual(['first', 'second'])
  })
})
