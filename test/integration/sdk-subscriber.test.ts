import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readEvent } from '../../shared/sdk/contract/event.ts'
import { encodeResponse } from '../../shared/sdk/contract/open-inference.ts'
import {
  encodeLines,
  failureNotice,
  type OutcomeMessage,
  predictionMessage,
} from '../../shared/sdk/contract/register-message.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { PeltonError, type Reason } from '../../shared/sdk/errors.ts'
import { consumerInfo, requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { dataPathOf } from '../../shared/sdk/jetstream/data-path.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import {
  createSubscriber,
  type Result,
  type Subscriber,
  type SubscriberOptions,
} from '../../shared/sdk/subscriber.ts'
import { waitFor } from '../../shared/sdk/wait-for.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { eventually } from '../kit/wait.ts'

const SOURCE = 'test'
let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow
let subscribers: Subscriber[]

beforeAll(async () => {
  broker = await startTestBroker()
})

beforeEach(async () => {
  subscribers = []
  await broker.provision()
  connection = await broker.connect()
  window = new PublishWindow(connection)
})

afterEach(async () => {
  await Promise.all(subscribers.map((subscriber) => subscriber.close()))
  window.close()
  await requestApi(connection, `STREAM.DELETE.${STREAMS.results}`)
  await connection.close()
})

afterAll(() => broker.stop())

async function subscribeTo(options: SubscriberOptions = {}): Promise<Subscriber> {
  const place = options.connection === undefined ? broker.place : {}
  const subscriber = await createSubscriber<'all'>({ ...place, include: 'all', ...(options as object) })
  subscribers.push(subscriber)
  return subscriber
}

/** The first `count` results, each acknowledged unless told otherwise. */
async function take(
  subscriber: Subscriber,
  count: number,
  settle = (result: Result) => result.ack(),
): Promise<Result[]> {
  const taken: Result[] = []
  for await (const result of subscriber) {
    settle(result)
    if (taken.push(result) === count) break
  }
  return taken
}

interface Outcome {
  readonly model?: string
  readonly reason?: Reason
}

/** The outcome of an event, as a worker makes it. */
function outcomeOf(id: string, { model = 'm', reason }: Outcome = {}): OutcomeMessage {
  const event = readEvent({
    subject: subjects.feature({ pool: 'default', model, lane: 'normal' }),
    headers: new Map([
      ['ce-id', encodeURIComponent(id)],
      ['ce-source', SOURCE],
      ['traceparent', 'trace'],
    ]),
    body: new Uint8Array(),
    ...{ stream: STREAMS.features, epoch: 'epoch', sequence: 7 },
  })
  const made = {
    worker: 'w',
    at: Date.UTC(2026, 0, 1),
    deliveryCount: 1,
    storedAt: 0,
    inputDigest: 'a'.repeat(22),
  }
  const facts = { modelVersion: '3', queueMs: 1.5, inferenceMs: 0.25, batchRows: 8 }
  const outputs = [
    { name: 'probability', datatype: 'FP32', shape: [1, 1], data: new Float32Array([0.75]) } as const,
    { name: 'half', datatype: 'FP16', shape: [1], data: new Uint16Array([0x3800]) } as const,
    { name: 'sure', datatype: 'BOOL', shape: [1], data: new Uint8Array([1]) } as const,
    { name: 'rows', datatype: 'INT64', shape: [2], data: new BigInt64Array([1n, 2n]) } as const,
  ]
  const { body, contentType, inferenceHeaderLength } = encodeResponse(
    { modelName: model, modelVersion: '3', outputs },
    { binary: true },
  )
  return reason === undefined
    ? predictionMessage(event, { ...facts, contentType, inferenceHeaderLength }, made, body)
    : failureNotice(event, { reason, description: 'because', stage: 'decode' }, made)
}

/** Stores the outcome of an event. */
async function answer(id: string, outcome: Outcome = {}): Promise<void> {
  expect(await window.publish(outcomeOf(id, outcome))).toMatchObject({ kind: 'stored' })
}

const idsOf = (results: readonly Result[]): string[] => results.map(({ id }) => id)
const codeOf = (thrown: unknown): unknown => (thrown instanceof PeltonError ? thrown.code : thrown)

describe('a result', () => {
  test('tells what the worker said about a prediction', async () => {
    const subscriber = await subscribeTo()
    await answer('é 1', { model: 'flug' })
    const [result] = await take(subscriber, 1)
    expect(result).toMatchObject({
      kind: 'prediction',
      id: 'é 1',
      token: eventToken('flug', SOURCE, 'é 1'),
      model: 'flug',
      modelVersion: '3',
      attempt: 1,
      time: new Date(Date.UTC(2026, 0, 1)),
      eventSequence: 7,
      traceparent: 'trace',
      ...{ queueMs: 1.5, inferenceMs: 0.25, batchRows: 8, degraded: undefined, cached: false },
      ...{ sequence: 1, deliveryCount: 1 },
    })
    if (result?.kind !== 'prediction') throw new Error('no prediction')
    expect(['probability', 'half', 'sure'].map((name) => result.value(name))).toEqual([0.75, 0.5, true])
    expect(result.outputs.map(({ name }) => name)).toEqual(['probability', 'half', 'sure', 'rows'])
    expect(() => result.value('rows')).toThrow(/^invalid-argument: this output is not one value/)
    expect(() => result.value('other')).toThrow(/probability, half, sure, rows/)
  })

  test('tells reason, description and stage of a failure', async () => {
    const subscriber = await subscribeTo({ include: 'failures' })
    await answer('a')
    await answer('b', { reason: 'malformed' })
    const [result] = await take(subscriber, 1)
    expect(result).toMatchObject({ kind: 'failure', id: 'b', reason: 'malformed', description: 'because' })
    expect(result).toMatchObject({ stage: 'decode' })
  })
})

describe('a subscriber', () => {
  test.each([
    ['predictions', ['a', 'c']],
    ['failures', ['b', 'd']],
    ['all', ['a', 'b', 'c', 'd']],
  ] as const)('gets %s', async (include, ids) => {
    const subscriber = await subscribeTo({ include })
    await answer('a')
    await answer('b', { reason: 'shed' })
    await answer('c')
    await answer('d', { reason: 'timed-out' })
    expect(idsOf(await take(subscriber, ids.length))).toEqual(ids)
  })

  test('gets one model, or some, or what is kept', async () => {
    await answer('old', { model: 'x.y' })
    const one = await subscribeTo({ model: 'x.y' })
    const some = await subscribeTo({ model: ['x.y', 'm'] })
    const all = await subscribeTo({ from: 'all' })
    const recent = await subscribeTo({ from: new Date(Date.now() - 60_000), model: 'x.y' })
    await answer('1', { model: 'n' })
    await answer('2', { model: 'm' })
    await answer('3', { model: 'x.y' })
    expect(idsOf(await take(one, 1))).toEqual(['3'])
    expect(idsOf(await take(some, 2))).toEqual(['2', '3'])
    expect(idsOf(await take(all, 4))).toEqual(['old', '1', '2', '3'])
    expect(idsOf(await take(recent, 2))).toEqual(['old', '3'])
  })

  test('goes on where the last of its name stopped', async () => {
    const first = await subscribeTo({ durable: 'board', ackWaitMs: 3_600_000 })
    for (const id of ['a', 'b', 'c', 'd']) await answer(id)
    expect(idsOf(await take(first, 2))).toEqual(['a', 'b'])
    await first.close()
    await answer('e')
    const second = await subscribeTo({ durable: 'board', from: 'all' })
    // What the first had fetched ahead was given back: nothing waits for the end of the broker's patience.
    expect(idsOf(await take(second, 3)).sort()).toEqual(['c', 'd', 'e'])
  })

  test('is told how many results left before it came back', async () => {
    const first = await subscribeTo({ durable: 'away' })
    expect(first.missed).toBe(0)
    for (const id of ['a', 'b']) await answer(id)
    await take(first, 2)
    await first.close()
    for (const id of ['c', 'd', 'e', 'f', 'g']) await answer(id)
    await eventually('the acknowledgements', async () => {
      const info = await consumerInfo(connection, STREAMS.results, 'sub-away')
      return info?.ack_floor?.stream_seq === 2
    })
    const config = (await streamInfo(connection, STREAMS.results))?.config
    await requestApi(connection, `STREAM.UPDATE.${STREAMS.results}`, { ...config, max_msgs: 2 })
    const late = await subscribeTo({ durable: 'away' })
    expect(late.missed).toBe(3)
    expect(idsOf(await take(late, 2))).toEqual(['f', 'g'])
    expect((await subscribeTo({ durable: 'new-here', from: 'all' })).missed).toBe(0)
  })

  test('shares results with others of its name', async () => {
    const pair = [
      await subscribeTo({ durable: 'pair', batchSize: 1 }),
      await subscribeTo({ durable: 'pair', batchSize: 1 }),
    ]
    const got: string[] = []
    const reading = pair.map(async (subscriber) => {
      for await (const result of subscriber) {
        got.push(result.id)
        result.ack()
        if (got.length === 40) await Promise.all(pair.map((one) => one.close()))
      }
    })
    const ids = Array.from({ length: 40 }, (_, i) => String(i))
    for (const id of ids) await answer(id)
    await Promise.all(reading)
    expect(got.sort()).toEqual(ids.sort())
  })

  test('gets again what was not acknowledged, and sooner what was put off', async () => {
    const subscriber = await subscribeTo({ ackWaitMs: 1_000 })
    await answer('forgotten')
    await answer('later')
    const seen: [string, number][] = []
    for await (const result of subscriber) {
      seen.push([result.id, result.deliveryCount])
      if (result.deliveryCount > 1) result.ack()
      else if (result.id === 'later') result.retryLater(100)
      if (seen.length === 4) break
    }
    expect(seen).toEqual([
      ['forgotten', 1],
      ['later', 1],
      ['later', 2],
      ['forgotten', 2],
    ])
  })

  test('a settled result stays settled', async () => {
    const subscriber = await subscribeTo({ ackWaitMs: 1_000 })
    await answer('a')
    await take(subscriber, 1, (result) => {
      result.ack()
      result.retryLater()
    })
    await answer('b')
    expect(idsOf(await take(subscriber, 1))).toEqual(['b'])
  })

  test('keeps alive what it has fetched ahead', async () => {
    const subscriber = await subscribeTo({ durable: 'slow', ackWaitMs: 1_000 })
    for (const id of ['a', 'b', 'c']) await answer(id)
    const [first] = await take(subscriber, 1)
    expect(first?.id).toBe('a')
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    await answer('d')
    const rest = await take(subscriber, 3)
    expect(rest.map(({ id, deliveryCount }) => [id, deliveryCount])).toEqual([
      ['b', 1],
      ['c', 1],
      ['d', 1],
    ])
  })

  test('hands out batches by number and by time', async () => {
    const subscriber = await subscribeTo()
    for (let i = 0; i < 7; i++) await answer(String(i))
    const sizes: number[] = []
    for await (const batch of subscriber.batches({ maxMessages: 3, maxWaitMs: 200 })) {
      sizes.push(batch.length)
      for (const result of batch) result.ack()
      if (sizes.reduce((sum, size) => sum + size) === 7) break
    }
    expect(sizes).toEqual([3, 3, 1])
  })

  test('fetches no more ahead than it may', async () => {
    for (let i = 0; i < 50; i++) await answer(String(i))
    const subscriber = await subscribeTo({ durable: 'narrow', batchSize: 5, from: 'all' })
    const held: number[] = []
    for (let taken = 0; taken < 10; taken++) {
      await take(subscriber, 1)
      held.push((await consumerInfo(connection, STREAMS.results, 'sub-narrow'))?.num_ack_pending ?? 0)
    }
    expect(Math.max(...held)).toBeLessThanOrEqual(5)
    expect(Math.max(...held), 'it fetches ahead').toBeGreaterThan(1)
  })

  test('misses nothing when somebody deletes its consumer', async () => {
    const subscriber = await subscribeTo({ durable: 'fragile' })
    await answer('a')
    await answer('held')
    const got: string[] = []
    for await (const result of subscriber) {
      got.push(result.id)
      if (result.id !== 'held') result.ack()
      if (got.length === 2) {
        await requestApi(connection, `CONSUMER.DELETE.${STREAMS.results}.sub-fragile`)
        await answer('b')
        await answer('c')
      }
      if (result.id === 'c') break
    }
    expect(got).toEqual(['a', 'held', 'held', 'b', 'c'])
  })

  test.each([{ durable: 'steady' }, {}])('misses nothing when the broker is killed (%o)', async (options) => {
    const subscriber = await subscribeTo(options)
    const reading = (async () => {
      const ids = new Set<string>()
      for await (const result of subscriber) {
        ids.add(result.id)
        result.ack()
        if (ids.size === 200) return ids
      }
      return ids
    })()
    for (let i = 0; i < 100; i++) await answer(String(i))
    await broker.kill()
    await broker.restart()
    await connection.close()
    connection = await broker.connect()
    window = new PublishWindow(connection)
    for (let i = 100; i < 200; i++) await answer(String(i))
    expect((await reading).size).toBe(200)
  })

  test('close ends iteration, leaves a shared connection and no ephemeral consumer', async () => {
    const subscriber = await subscribeTo({ connection })
    const reading = take(subscriber, 5)
    await answer('a')
    await new Promise((resolve) => setTimeout(resolve, 50))
    await subscriber.close()
    await subscriber.close()
    expect(idsOf(await reading)).toEqual(['a'])
    expect(connection.isClosed()).toBe(false)
    const { consumers } = await requestApi<{ consumers: string[] | null }>(
      connection,
      `CONSUMER.NAMES.${STREAMS.results}`,
    )
    expect(consumers ?? []).toEqual([])
  })

  test('iteration throws when somebody else closes the connection', async () => {
    const shared = await broker.connect()
    const subscriber = await subscribeTo({ connection: shared })
    const reading = take(subscriber, 1).catch((error: unknown) => error)
    await shared.close()
    expect(codeOf(await reading)).toBe('broker-unavailable')
  })

  test.each([
    ['a start in words', { from: 'yesterday' as never }, 'from'],
    ['an unknown choice', { include: 'everything' as never }, 'include'],
    ['a name with a dot', { durable: 'a.b' }, 'durable'],
    ['no batch', { batchSize: 0 }, 'batchSize'],
    ['no patience', { ackWaitMs: 5 }, 'ackWaitMs'],
  ])('refuses %s', async (_what, options, field) => {
    const thrown = await subscribeTo(options).catch((error: unknown) => error)
    expect(codeOf(thrown)).toBe('invalid-argument')
    expect((thrown as PeltonError).details.field).toBe(field)
  })

  test('refuses to turn a durable to other models', async () => {
    await subscribeTo({ durable: 'fixed', model: ['a', 'b'] })
    await subscribeTo({ durable: 'fixed', model: ['b', 'a'] })
    const thrown = await subscribeTo({ durable: 'fixed', model: 'c' }).catch((error: unknown) => error)
    expect(codeOf(thrown)).toBe('invalid-argument')
  })

  test('refuses a broker without RESULTS', async () => {
    await requestApi(connection, `STREAM.DELETE.${STREAMS.results}`)
    expect(codeOf(await subscribeTo().catch((error: unknown) => error))).toBe('not-provisioned')
    expect(codeOf(await waitFor(connection, { model: 'm', token: 't' }).catch((e: unknown) => e))).toBe(
      'not-provisioned',
    )
    await broker.provision()
  })
})

describe('waitFor', () => {
  test('returns what is stored, by token or by source and id, from any holder of a connection', async () => {
    await answer('a')
    await answer('b', { reason: 'shed' })
    const subscriber = await subscribeTo()
    const token = eventToken('m', SOURCE, 'a')
    expect(await waitFor(connection, { model: 'm', token })).toMatchObject({ kind: 'prediction', id: 'a' })
    const failure = await waitFor(subscriber, { model: 'm', source: SOURCE, id: 'b' })
    expect(failure).toMatchObject({ kind: 'failure', reason: 'shed' })
  })

  test('waits for what comes, many at once', async () => {
    const ids = Array.from({ length: 100 }, (_, i) => String(i))
    const waits = ids.map((id) => waitFor(connection, { model: 'm', source: SOURCE, id }))
    for (const id of ids) await answer(id)
    expect((await Promise.all(waits)).map(({ id }) => id)).toEqual(ids)
  })

  test('ends with timeout, or with the reason of its signal', async () => {
    const event = { model: 'm', source: SOURCE, id: 'never' }
    const thrown = await waitFor(connection, event, { timeoutMs: 120 }).catch((error: unknown) => error)
    expect(codeOf(thrown)).toBe('timeout')
    const reason = new Error('enough')
    const controller = new AbortController()
    const wait = waitFor(connection, event, { signal: controller.signal }).catch((error: unknown) => error)
    controller.abort(reason)
    expect(await wait).toBe(reason)
  })

  test('outlives a broker that is killed', async () => {
    const wait = waitFor(connection, { model: 'm', source: SOURCE, id: 'a' })
    await broker.kill()
    await broker.restart()
    const other = await broker.connect()
    const fresh = new PublishWindow(other)
    window = fresh
    await answer('a')
    expect(await wait).toMatchObject({ id: 'a' })
  })
})

describe('request', () => {
  test('takes the wake-up, with nothing in the register', async () => {
    const producer = await createProducer({ ...broker.place, source: SOURCE })
    const inbox = new Promise<string>((resolve) => {
      connection.subscribe(namesOf(connection).subject('features.>'), {
        callback: (_error, message) => resolve(message.headers?.get('Pelton-Reply-To') ?? ''),
      })
    })
    await connection.flush()
    const asked = producer.request({ model: 'm', id: 'woken', features: {} }, { timeoutMs: 60_000 })
    const outcome = outcomeOf('woken')
    const copy = { headerBlock: encodeLines(outcome), body: outcome.body }
    dataPathOf(connection).publish(await inbox, copy)
    expect(await asked).toMatchObject({ kind: 'prediction', id: 'woken', model: 'm' })
    await producer.close()
  })

  test('takes the register where no wake-up comes, and for an event that was there before', async () => {
    const producer = await createProducer({ ...broker.place, source: SOURCE })
    const event = { model: 'm', id: 'silent', features: {} }
    const asked = producer.request(event, { timeoutMs: 60_000 })
    await answer('silent', { reason: 'shed' })
    expect(await asked).toMatchObject({ kind: 'failure', id: 'silent' })
    expect(await producer.request(event, { timeoutMs: 60_000 })).toMatchObject({ kind: 'failure' })
    await producer.close()
  })

  test('takes no wake-up of another event', async () => {
    const producer = await createProducer({ ...broker.place, source: SOURCE })
    const inboxes: string[] = []
    connection.subscribe(namesOf(connection).subject('features.>'), {
      callback: (_error, message) => void inboxes.push(message.headers?.get('Pelton-Reply-To') ?? ''),
    })
    await connection.flush()
    const asked = ['a', 'b', 'c'].map((id) =>
      producer.request({ model: 'm', id, features: {} }, { timeoutMs: 20_000 }),
    )
    await eventually('three requests', () => inboxes.length === 3, { everyMs: 5, seen: () => inboxes })
    expect(new Set(inboxes).size).toBe(3)
    connection.publish(inboxes[0] ?? '', 'neither a prediction nor a notice')
    for (const id of ['c', 'b', 'a']) await answer(id)
    expect((await Promise.all(asked)).map(({ id }) => id)).toEqual(['a', 'b', 'c'])
    await producer.close()
  })
})
