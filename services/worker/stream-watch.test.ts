import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { leastRetriesBytes } from '../../shared/sdk/contract/bounds.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, type StreamInfo } from '../../shared/sdk/jetstream/api.ts'
import { requireStreams } from '../../shared/sdk/jetstream/provision.ts'
import { startTestBroker, type TestBroker } from '../../test/kit/broker.ts'
import { PATIENT } from '../../test/kit/wait.ts'
import { type StreamWatch, watchStreams } from './stream-watch.ts'

const LEAST = leastRetriesBytes(1024 ** 2)
let broker: TestBroker
let connection: NatsConnection
let streams: ReadonlyMap<string, StreamInfo>

beforeAll(async () => {
  broker = await startTestBroker()
  await broker.provision({
    topology: { retriesMaxBytes: LEAST, ledgerMaxBytes: 100_000, deadLettersMaxMessages: 10 },
  })
  connection = await broker.connect()
  const watched = [STREAMS.features, STREAMS.retries, STREAMS.ledger, STREAMS.deadLetters]
  streams = await requireStreams(connection, watched)
})
afterAll(() => broker.stop())

/** The streams as they are, with other limits of RETRIES. */
function withLimits(limits: object): ReadonlyMap<string, StreamInfo> {
  const retries = streams.get(STREAMS.retries) as StreamInfo // provisioned
  return new Map([...streams, [STREAMS.retries, { ...retries, config: { ...retries.config, ...limits } }]])
}

function watch(as = streams): StreamWatch {
  const opened = watchStreams(connection, as)
  onTestFinished(() => opened.close())
  return opened
}

describe('the watch of the streams of a worker', () => {
  test.each([
    ['max_msgs', 1_000_000, /nats stream edit RETRIES/],
    ['max_age', 3_600e9, /nats stream edit RETRIES/],
    ['max_msgs_per_subject', 5, /nats stream edit RETRIES/],
    ['max_bytes', LEAST - 1, /PELTON_RETRIES_MAX_BYTES to 67108864/],
  ])('refuses a RETRIES with %s %d: it would drop accepted events', (field, value, remedy) => {
    expect(() => watch(withLimits({ [field]: value }))).toThrow(
      expect.objectContaining({
        code: 'not-provisioned',
        details: { field, value: String(value), remedy: expect.stringMatching(remedy) },
      }),
    )
  })

  test('tells how many pools keep to the bound of RETRIES', () => {
    const retries = streams.get(STREAMS.retries) as StreamInfo // provisioned
    const pooled = (consumer_count: number): StreamWatch =>
      watch(
        new Map([...streams, [STREAMS.retries, { ...retries, state: { ...retries.state, consumer_count } }]]),
      )
    expect(watch().retries.pools).toBe(1)
    expect([0, 6, 7].map((consumers) => pooled(consumers).retries.pools)).toEqual([1, 2, 3])
  })

  test('takes one with no bound, or one that leaves room', () => {
    expect(watch().retries).toMatchObject({ events: 0, maxBytes: LEAST })
    expect(watch(withLimits({ max_bytes: -1 })).retries.maxBytes).toBe(Number.POSITIVE_INFINITY)
  })

  test('looks again at RETRIES when it is asked to, and tells', async () => {
    const opened = watch()
    const before = opened.retries
    let told = 0
    opened.onLook(() => told++)
    await connection.request('retries.default.m.normal.token', 'x'.repeat(500))
    opened.lookAgain()
    opened.lookAgain()
    await vi.waitFor(() => expect(opened.retries).not.toBe(before), PATIENT)
    expect([told, opened.retries.events, opened.retries.lastSequence]).toEqual([1, 1, 1])
    expect(opened.retries.bytes).toBeGreaterThan(500)
  })

  test('knows how full the ledger and DEADLETTERS are, of what they may have', async () => {
    const opened = watch()
    expect([opened.ledgerUsed, opened.deadLettersUsed]).toEqual([0, 0])
    for (let record = 0; record < 5; record++) await connection.request('ledger.other', Buffer.alloc(10_000))
    await vi.waitFor(() => expect(opened.ledgerUsed).toBeGreaterThan(0.5), PATIENT)
    expect(opened.ledgerUsed).toBeLessThan(0.6)
    for (let letter = 0; letter < 8; letter++) await connection.request(`deadletters.m.t-${letter}`, 'x')
    await vi.waitFor(() => expect(opened.deadLettersUsed).toBe(0.8), PATIENT)
  })

  test('fails when a stream that delivers was made anew', async () => {
    const opened = watch()
    await requestApi(connection, `STREAM.DELETE.${STREAMS.retries}`)
    await broker.provision()
    opened.lookAgain()
    await expect(opened.failed).rejects.toMatchObject({
      code: 'not-provisioned',
      message: expect.stringContaining('RETRIES was deleted and made anew'),
    })
  })
})
