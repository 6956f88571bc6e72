import type { NatsConnection } from '@nats-io/transport-node'
import { expect } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { followAllPools } from '../../shared/operations/models/all-pools.ts'
import { followBucket } from '../../shared/operations/models/bucket-follower.ts'
import { compareAndSet } from '../../shared/operations/records/compare-and-set.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { featureConsumer, STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import {
  consumerInfo,
  lastOfSubject,
  messagesOf,
  nextOfSubject,
  streamInfo,
} from '../../shared/sdk/jetstream/api.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { eventually } from '../kit/wait.ts'
import type { SdkLogin } from './rights-server.ts'

const MODEL = 'flight-delay'
const DATA = Buffer.from(JSON.stringify({ features: EXAMPLE_FLIGHT }))

/** Who is at the door, and who makes its keys. */
interface DoorLogins {
  loginOf(role: 'gateway' | 'control'): SdkLogin
}

/** Does all that a gateway does at the broker, under its user, while a worker serves; control makes a key, and reads a mark. */
export async function serveAtDoor({ loginOf }: DoorLogins): Promise<void> {
  const [gateway, control] = await Promise.all(
    (['gateway', 'control'] as const).map((role) =>
      connectBroker({ ...loginOf(role), name: role, naming: 'options' }),
    ),
  )
  if (gateway === undefined || control === undefined) throw new Error('nobody is there')
  const windows = { gateway: new PublishWindow(gateway), control: new PublishWindow(control) }
  try {
    await answer(loginOf('gateway'), gateway)
    await knowModels(gateway)
    await knowKeys(gateway, { connection: control, window: windows.control })
    await remember({ connection: gateway, window: windows.gateway }, control)
  } finally {
    for (const window of Object.values(windows)) window.close()
    await Promise.all([gateway.close(), control.close()])
  }
}

/** Makes an event of a request, hears its outcome, and looks it up in each place where it may be. */
async function answer(login: SdkLogin, gateway: NatsConnection): Promise<void> {
  const producer = await createProducer({ ...login, source: 'http' })
  const asked = await producer.request({ model: MODEL, data: DATA, lane: 'high' })
  await producer.close()
  expect(asked.kind).toBe('prediction')
  const { token } = asked
  expect(await lastOfSubject(gateway, STREAMS.results, subjects.resultOf(token))).toBeDefined()
  expect(
    await lastOfSubject(gateway, STREAMS.retries, subjects.retryFilter('default', MODEL)),
  ).toBeUndefined()
  // It is answered before it leaves.
  const waiting = () => nextOfSubject(gateway, STREAMS.features, subjects.allFeatures(), 1)
  await eventually('the event to have left', async () => (await waiting()) === undefined)
  const consumer = featureConsumer('default', 'high')
  expect(await consumerInfo(gateway, consumer.stream, consumer.durable_name)).toHaveProperty('num_pending')
  expect((await streamInfo(gateway, STREAMS.results))?.config).toHaveProperty('max_age')
}

async function knowModels(gateway: NatsConnection): Promise<void> {
  const pools = followAllPools(gateway)
  await pools.ready
  expect(pools.read().flatMap(({ records }) => records.map(({ model }) => model))).toContain(MODEL)
  await pools.close()
}

interface Writer {
  readonly connection: NatsConnection
  readonly window: PublishWindow
}

async function knowKeys(gateway: NatsConnection, control: Writer): Promise<void> {
  const seen = new Set<string>()
  const follower = followBucket(gateway, {
    stream: STORES.keys,
    filter: subjects.apiKeys(),
    onWhole: (keys) => {
      for (const { subject } of keys) seen.add(subject)
    },
    onChange: ({ subject }) => seen.add(subject),
    onIdle: () => undefined,
    onProblem: (text) => seen.add(text),
  })
  await follower.ready
  const subject = subjects.apiKey('rights')
  const key = { stream: STORES.keys, subject, body: Buffer.from('{}'), expected: 0 }
  const revision = await compareAndSet(control.connection, control.window, key)
  expect(revision).toBeGreaterThan(0)
  await eventually('the key that control made', () => seen.size > 0)
  expect([...seen].map((each) => each.split('.').slice(-2))).toEqual([['key', 'rights']])
  await follower.close()
  expect((await lastOfSubject(gateway, STORES.keys, subjects.apiKeys()))?.sequence).toBe(revision)
  const listed: number[] = []
  for await (const { sequence } of messagesOf(control.connection, STORES.keys, subjects.apiKeys()))
    listed.push(sequence)
  expect(listed).toEqual([revision])
}

/** Entries of requests with a key come and go by compare-and-set, each for its time; control reads what they supersede. */
async function remember({ connection, window }: Writer, control: NatsConnection): Promise<void> {
  const keep = (subject: string, expected: number, seconds?: number): Promise<number | undefined> =>
    compareAndSet(connection, window, {
      ...{ stream: STORES.requests, subject, body: Buffer.from(`${expected}`), expected },
      headers: seconds === undefined ? [] : [[HEADERS.timeToLive, `${seconds}s`]],
    })
  const request = subjects.keyedRequest('digest')
  const first = await keep(request, 0, 60)
  expect(first).toBeGreaterThan(0)
  const second = await keep(request, first ?? 0, 60)
  expect(second).toBeGreaterThan(first ?? 0)
  expect(await keep(request, first ?? 0, 60)).toBeUndefined()
  expect((await lastOfSubject(connection, STORES.requests, request))?.sequence).toBe(second)
  expect(await keep(subjects.gatewaySecret(), 0)).toBeGreaterThan(0)
  const mark = subjects.supersededMark('token')
  const marked = await keep(mark, 0, 60)
  expect((await lastOfSubject(control, STORES.requests, mark))?.sequence).toBe(marked)
}
