import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { NatsConnection } from '@nats-io/transport-node'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type FeatureEvent, readEvent } from '../../shared/sdk/contract/event.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { binaryOutputsOf, decodeEventData } from '../../shared/sdk/contract/open-inference.ts'
import { COPY_HEADROOM_BYTES, REPLAY_HEADROOM_BYTES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'
import { createProducer, type Producer, type PublishDiagnostics } from '../../shared/sdk/producer.ts'
import type { ProducerOptions } from '../../shared/sdk/producer-settings.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { eventually } from '../kit/wait.ts'

let broker: TestBroker
let connection: NatsConnection
let producers: Producer[]

beforeAll(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
})

beforeEach(async () => {
  producers = []
  await broker.provision()
})

afterEach(async () => {
  thaw()
  await Promise.all(producers.map((producer) => producer.close().catch(() => undefined)))
  await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
})

afterAll(() => broker.stop())

async function produce(options: Partial<ProducerOptions> = {}): Promise<Producer> {
  const place = options.connection === undefined ? broker.place : {}
  const producer = await createProducer({ ...place, source: 'gate/7', ...options })
  producers.push(producer)
  return producer
}

/** Stops the server's process, and waits until it really answers no more: the signal takes its time. */
async function freeze(): Promise<void> {
  process.kill(broker.pid, 'SIGSTOP')
  const answers = (): Promise<boolean> => connection.flush().then(() => true)
  const isSilent = async (): Promise<boolean> =>
    !(await Promise.race([answers(), new Promise((resolve) => setTimeout(resolve, 100, false))]))
  await eventually('the stopped server to answer no more', isSilent)
}

function thaw(): void {
  process.kill(broker.pid, 'SIGCONT')
}

/** Limits FEATURES to some messages, as an operator would. */
async function limitFeatures(maxMessages: number): Promise<void> {
  const { config } = await requestApi<{ config: object }>(connection, `STREAM.INFO.${STREAMS.features}`)
  await requestApi(connection, `STREAM.UPDATE.${STREAMS.features}`, { ...config, max_msgs: maxMessages })
}

/** What lies in FEATURES, read as a worker reads it, message by message: a work queue takes no further consumer. */
async function stored(): Promise<FeatureEvent[]> {
  const info = await streamInfo(connection, STREAMS.features)
  const count = info?.state.last_seq ?? 0
  return Promise.all(Array.from({ length: count }, (_, index) => readAt(index + 1)))
}

async function readAt(sequence: number): Promise<FeatureEvent> {
  interface Reply {
    readonly message: { readonly subject: string; readonly hdrs: string; readonly data?: string }
  }
  const body = { seq: sequence }
  const { message } = await requestApi<Reply>(connection, `STREAM.MSG.GET.${STREAMS.features}`, body)
  return readEvent({
    subject: message.subject,
    headers: parseHeaderBlock(Buffer.from(message.hdrs, 'base64')),
    body: Buffer.from(message.data ?? '', 'base64'),
    stream: STREAMS.features,
    epoch: 'epoch',
    sequence,
  })
}

const codeOf = (thrown: unknown): unknown => (thrown instanceof PeltonError ? thrown.code : thrown)

describe('publish', () => {
  test('stores a CloudEvent that a worker reads as it was meant', async () => {
    const producer = await produce({ pool: 'vision' })
    const receipt = await producer.publish({
      model: 'flug verspätung',
      lane: 'high',
      id: 'Ä 1%"',
      features: { distance: 1452, origin: 'DTW', big: 9_007_199_254_740_993n, missing: null },
      outputs: ['probability'],
      subject: 'flight/1',
      time: new Date(0),
      expiresAt: '2099-01-31T12:00:00Z',
      modelVersion: '3',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    })
    const [event] = await stored()
    expect(event).toMatchObject({
      token: receipt.token,
      id: 'Ä 1%"',
      source: 'gate/7',
      route: { pool: 'vision', model: 'flug verspätung', lane: 'high' },
      attempt: 1,
      expiresAt: Date.UTC(2099, 0, 31, 12),
      modelVersion: '3',
      problem: undefined,
    })
    expect(receipt).toEqual({ token: event?.token, id: 'Ä 1%"', sequence: 1, duplicate: false, tries: 1 })
    const header = (name: string): string | undefined => event && readHeader(event.headers, name)
    expect(header(HEADERS.time)).toBe('1970-01-01T00:00:00.000Z')
    expect(header(HEADERS.traceparent)).toMatch(/^00-0af7/)
    expect(Date.parse(header(HEADERS.publishedAt) ?? '')).toBeGreaterThan(0)
    expect(header(HEADERS.subject)).toBe('flight/1')
    const data = decodeEventData(
      event?.contentType,
      event?.inferenceHeaderLength,
      event?.body ?? new Uint8Array(),
    )
    expect(data).toMatchObject({
      features: { distance: 1452, origin: 'DTW', big: 9_007_199_254_740_993n, missing: null },
      outputs: [{ name: 'probability' }],
    })
  })

  test.each([false, true])(
    'carries tensors of plain values and typed arrays (binary: %s)',
    async (binary) => {
      const producer = await produce()
      await producer.publish({
        model: 'm',
        binary,
        inputs: [
          {
            name: 'x',
            datatype: 'FP32',
            shape: [2, 2],
            data: [
              [1, 2.5],
              [3, 4],
            ],
          },
          { name: 'n', datatype: 'INT64', shape: [2], data: [1n, -9_223_372_036_854_775_808n] },
          { name: 's', datatype: 'BYTES', shape: [2], data: ['DTW', 'é'] },
          { name: 'b', datatype: 'BOOL', shape: [2], data: [true, false] },
          { name: 'u', datatype: 'UINT8', shape: [2], data: new Uint8Array([7, 255]) },
        ],
      })
      const [event] = await stored()
      const data = decodeEventData(
        event?.contentType,
        event?.inferenceHeaderLength,
        event?.body ?? new Uint8Array(),
      )
      expect(event?.inferenceHeaderLength === undefined).toBe(!binary)
      expect(binaryOutputsOf(data)).toBe(binary)
      expect(data.kind === 'tensors' && data.inputs.map((tensor) => [tensor.name, [...tensor.data]])).toEqual(
        [
          ['x', [1, 2.5, 3, 4]],
          ['n', [1n, -9_223_372_036_854_775_808n]],
          ['s', ['DTW', 'é']],
          ['b', [1, 0]],
          ['u', [7, 255]],
        ],
      )
    },
  )

  test('any id and source that is accepted keeps its token on the way', async () => {
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(text, text, async (id, source) => {
        let producer: Producer
        try {
          producer = await produce({ source, connection })
          await producer.publish({ model: 'm', id, features: {} })
        } catch (thrown) {
          expect(codeOf(thrown)).toBe('invalid-argument')
          return
        }
        const event = await readAt((await streamInfo(connection, STREAMS.features))?.state.last_seq ?? 0)
        expect([event.id, event.source, event.problem]).toEqual([id, source, undefined])
        const again = await producer.publish({ model: 'm', id, features: {} })
        expect([again.token, again.duplicate]).toEqual([event.token, true])
      }),
      { numRuns: 60 },
    )
  })

  test('tells a duplicate from a first, and keeps models and sources apart', async () => {
    const producer = await produce()
    const other = await produce({ source: 'gate/8' })
    const first = await producer.publish({ model: 'm', id: '1', features: {} })
    const second = await producer.publish({ model: 'm', id: '1', features: {} })
    const otherModel = await producer.publish({ model: 'n', id: '1', features: {} })
    const otherSource = await other.publish({ model: 'm', id: '1', features: {} })
    expect(
      [first, second, otherModel, otherSource].map(({ sequence, duplicate }) => [sequence, duplicate]),
    ).toEqual([
      [1, false],
      [1, true],
      [2, false],
      [3, false],
    ])
  })

  test.each([
    ['an empty id', { id: '' }, 'id'],
    ['a line break in the id', { id: 'a\nb' }, 'id'],
    ['a lone surrogate', { id: '\ud800' }, 'id'],
    ['an id that is too long', { id: 'é'.repeat(200) }, 'id'],
    ['an empty model', { model: '' }, 'model'],
    ['a model too long for a subject', { model: '.'.repeat(341) }, 'model'],
    ['a misspelt lane', { lane: 'urgent' as never }, 'lane'],
    ['features and data', { data: new Uint8Array() }, 'features, data'],
    ['a deadline in words', { expiresAt: 'tomorrow' }, 'expiresAt'],
    ['a deadline that is past', { deadlineMs: -1 }, 'deadlineMs'],
    ['two deadlines', { deadlineMs: 5, expiresAt: new Date() }, 'deadlineMs'],
    ['a time that is none', { time: new Date(Number.NaN) }, 'time'],
    ['a foreign reply subject', { replyTo: 'features.default.m.normal' }, 'replyTo'],
    ['a header of two lines', { traceparent: 'a\r\nPelton-Outcome: prediction' }, 'traceparent'],
  ])('refuses %s before sending', async (_what, event, field) => {
    const producer = await produce()
    const thrown = await producer
      .publish({ model: 'm', features: {}, ...event })
      .catch((error: unknown) => error)
    expect(codeOf(thrown)).toBe('invalid-argument')
    expect((thrown as PeltonError).details.field).toBe(field)
    expect(producer.pending).toBe(0)
    expect(await stored()).toEqual([])
  })

  test('refuses what is larger than the stream takes, and sends what just fits', async () => {
    const producer = await produce()
    const prefixBytes = namesOf(connection).stream(STREAMS.features).length - STREAMS.features.length
    const headroom = COPY_HEADROOM_BYTES + REPLAY_HEADROOM_BYTES + prefixBytes
    const most = (connection.info?.max_payload ?? 0) - headroom
    const told: PublishDiagnostics[] = []
    const listen = (message: unknown): void => void told.push(message as PublishDiagnostics)
    subscribe('pelton:publish', listen)
    const event = { model: 'm', id: 'x', time: new Date(0), data: new Uint8Array(most) }
    const thrown = await producer.publish(event).catch((error: unknown) => error)
    expect(codeOf(thrown)).toBe('too-large')
    const [, size] = /(\d+) bytes/.exec((thrown as PeltonError).details.value ?? '') ?? []
    const headerBytes = Number(size) - most
    const fits = await producer.publish({ ...event, data: new Uint8Array(most - headerBytes) })
    unsubscribe('pelton:publish', listen)
    expect(fits.sequence).toBe(1)
    expect(told).toMatchObject([{ id: 'x', model: 'm', sizeBytes: most, sequence: 1 }])
    await expect(
      producer.publish({ ...event, data: new Uint8Array(most - headerBytes + 1) }),
    ).rejects.toThrow(/^too-large: the event has .* at most \d+ are taken/)
  })

  test('a full stream refuses at once, naming limit and value', async () => {
    await limitFeatures(2)
    const producer = await produce()
    await producer.publish({ model: 'm', features: {} })
    await producer.publish({ model: 'm', features: {} })
    const thrown = await producer.publish({ model: 'm', features: {} }).catch((error: unknown) => error)
    expect(codeOf(thrown)).toBe('stream-full')
    expect((thrown as PeltonError).details).toMatchObject({ field: 'max_msgs', value: '2' })
  })

  test('a full stream is waited for where that is asked', async () => {
    await limitFeatures(1)
    const producer = await produce({ fullRetryMs: 60_000 })
    await producer.publish({ model: 'm', id: '1', features: {} })
    const waiting = producer.publish({ model: 'm', id: '2', features: {} })
    await requestApi(connection, `STREAM.PURGE.${STREAMS.features}`)
    const receipt = await waiting
    expect(receipt.sequence).toBe(2)
  })

  test('waits for a stream that is away for a moment', async () => {
    const producer = await produce()
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    const waiting = producer.publish({ model: 'm', features: {} })
    await new Promise((resolve) => setTimeout(resolve, 100))
    await broker.provision()
    const receipt = await waiting
    expect(receipt).toMatchObject({ sequence: 1, duplicate: false })
    expect(receipt.tries).toBeGreaterThan(1)
  })

  test('stores every event once although the broker is killed in the middle', async () => {
    const producer = await produce({ ackTimeoutMs: 500 })
    const count = 3_000
    const receipts: Promise<unknown>[] = []
    for (let i = 0; i < count; i++) {
      if (i === 1_000) void broker.kill().then(() => broker.restart())
      receipts.push(producer.publish({ model: 'm', id: String(i), features: { i } }))
      if (i % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 2))
    }
    const results = await Promise.all(receipts)
    expect(results).toHaveLength(count)
    connection = await broker.connect()
    const ids = (await stored()).map(({ id }) => Number(id)).sort((a, b) => a - b)
    expect(ids).toEqual(Array.from({ length: count }, (_, i) => i))
  })

  test('says that it does not know when the broker gives no word in time', async () => {
    const producer = await produce({ ackTimeoutMs: 100, retryForMs: 400 })
    await freeze()
    const thrown = await producer
      .publish({ model: 'm', id: '1', features: {} })
      .catch((error: unknown) => error)
    thaw()
    expect(codeOf(thrown)).toBe('broker-unavailable')
    expect((thrown as Error).message).toMatch(/unknown whether .*same id/)
    const again = await producer.publish({ model: 'm', id: '1', features: {} })
    expect(again).toMatchObject({ sequence: 1 })
    expect(await stored()).toHaveLength(1)
  })
})

describe('the buffer', () => {
  test.each([
    ['messages', { maxBuffered: 5 }],
    ['bytes', { maxBufferedBytes: 5_000 }],
  ])('makes the caller wait once it is full of %s, in order', async (_what, options) => {
    const producer = await produce({ ...options, maxInFlight: 3 })
    const data = new Uint8Array(700)
    await freeze()
    const done: string[] = []
    const publishes = ['0', '1', '2', '3', '4', '5', '6'].map(async (id) => {
      await producer.publish({ model: 'm', id, data })
      done.push(id)
    })
    let isReady = false
    const ready = producer.ready().then(() => {
      isReady = true
    })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([producer.pending, isReady, done]).toEqual([7, false, []])
    thaw()
    await Promise.all([...publishes, ready])
    expect(producer.pending).toBe(0)
    expect((await stored()).map(({ id }) => id)).toEqual(['0', '1', '2', '3', '4', '5', '6'])
  })
})

describe('close', () => {
  test('waits for what is pending, then takes no more', async () => {
    const producer = await produce()
    const publishes = Array.from({ length: 500 }, () => producer.publish({ model: 'm', features: {} }))
    await producer.close()
    await producer.close()
    expect(await Promise.all(publishes)).toHaveLength(500)
    expect(producer.connection.isClosed()).toBe(true)
    await expect(producer.publish({ model: 'm', features: {} })).rejects.toThrow(/^closed: /)
  })

  test('leaves a shared connection open', async () => {
    const producer = await produce({ connection })
    await producer.publish({ model: 'm', features: {} })
    await producer.close()
    expect(connection.isClosed()).toBe(false)
    expect(await stored()).toHaveLength(1)
  })

  test('says how many publishes had no answer in time, and rejects those', async () => {
    const producer = await produce({ ackTimeoutMs: 60_000 })
    await freeze()
    const publishes = [1, 2, 3].map(() =>
      producer.publish({ model: 'm', features: {} }).catch((error: unknown) => error),
    )
    const thrown = await producer.close({ timeoutMs: 50 }).catch((error: unknown) => error)
    thaw()
    expect((thrown as Error).message).toMatch(/^timeout: 3 publishes/)
    expect((await Promise.all(publishes)).map(codeOf)).toEqual(Array(3).fill('broker-unavailable'))
  })
})

describe('createProducer', () => {
  test.each([
    ['an empty source', { source: '' }, 'invalid-argument'],
    ['a window of nothing', { maxInFlight: 0 }, 'invalid-argument'],
    ['nobody at the address', { url: 'nats://127.0.0.1:1', connectTimeoutMs: 500 }, 'broker-unavailable'],
  ])('refuses %s', async (_what, options, code) => {
    expect(codeOf(await produce(options).catch((error: unknown) => error))).toBe(code)
  })

  test('refuses a broker without FEATURES, and an address beside a connection', async () => {
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    expect(codeOf(await produce().catch((error: unknown) => error))).toBe('not-provisioned')
    await broker.provision()
    const both = produce({ connection, url: broker.url }).catch((error: unknown) => error)
    expect(codeOf(await both)).toBe('invalid-argument')
  })
})
