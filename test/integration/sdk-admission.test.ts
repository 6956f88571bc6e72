import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { sourceDigest } from '../../shared/sdk/contract/flow.ts'
import { LANES } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { CHANNELS, type RefusedDiagnostics } from '../../shared/sdk/diagnostics.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import type { EventToPublish } from '../../shared/sdk/event-message.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import type { ConnectionTrouble } from '../../shared/sdk/jetstream/trouble.ts'
import { openOutbox } from '../../shared/sdk/outbox.ts'
import { createProducer, type Producer } from '../../shared/sdk/producer.ts'
import type { ProducerOptions } from '../../shared/sdk/producer-settings.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { type FlowSpeaker, type SaidFlow, speakFlow } from '../kit/flow.ts'
import { startSecuredServer } from '../kit/secured-server.ts'
import { eventually } from '../kit/wait.ts'

/**
 * Seconds of work in the lane `normal` that are more than an event with a deadline of a minute may find, 24, also a second
 * after they were said; and less than two seconds more: who waits comes back soon.
 */
const MUCH = { normal: 25.2 }
const MINUTE = { features: {}, deadlineMs: 60_000 }

let broker: TestBroker
let connection: NatsConnection
let models = 0

beforeAll(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision()
})

afterAll(() => broker.stop())

async function produce(options: Partial<ProducerOptions> = {}): Promise<Producer> {
  const producer = await createProducer({ ...broker.place, source: 'gate/7', ...options })
  onTestFinished(() => producer.close().catch(() => undefined))
  return producer
}

/** Says the flow of a model of its own as its worker would, until the test is over. */
function speak(given: SaidFlow, to = connection): FlowSpeaker & { readonly model: string } {
  const model = `m${++models}`
  const speaker = speakFlow(to, model)
  onTestFinished(() => speaker.stop())
  speaker.say(given)
  return { model, ...speaker }
}

/** A producer that has heard the flow, as it refuses an event like this. */
async function hearing(producer: Producer, event: EventToPublish): Promise<PeltonError> {
  const refused = (): Promise<PeltonError | undefined> =>
    producer.tryPublish(event).then(
      () => undefined,
      (thrown: PeltonError) => thrown,
    )
  return eventually('the producer to hear the flow', refused)
}

const countStored = async (): Promise<number> =>
  (await streamInfo(connection, STREAMS.features))?.state.last_seq ?? 0

/** Refusals that are told while the test runs. */
function listen(): RefusedDiagnostics[] {
  const told: RefusedDiagnostics[] = []
  const onTold = (message: unknown): void => void told.push(message as RefusedDiagnostics)
  subscribe(CHANNELS.refused, onTold)
  onTestFinished(() => void unsubscribe(CHANNELS.refused, onTold))
  return told
}

describe('tryPublish', () => {
  test('stores what is let in, and refuses the rest at once, with limit, value, measured and when to come back', async () => {
    const producer = await produce()
    const { model } = speak({ heldS: MUCH })
    expect((await producer.tryPublish({ model, features: {}, id: 'first' })).duplicate).toBe(false)
    const told = listen()
    const refusal = await hearing(producer, { model, ...MINUTE })
    expect(refusal).toBeInstanceOf(PeltonError)
    expect(refusal.code).toBe('overloaded')
    expect(refusal.details.field).toBe('backlog')
    expect(refusal.details.value).toMatch(/^2[45]\d{3} ms, at most 24000 ms$/)
    expect(refusal.details.retryAfterMs).toBeGreaterThanOrEqual(25)
    expect(told).toMatchObject([
      { model, pool: 'default', lane: 'normal', source: 'gate/7', limit: 'backlog', isEnforced: true },
    ])
    const before = await countStored()
    await expect(producer.tryPublish({ model, ...MINUTE })).rejects.toThrow(/^overloaded: /)
    expect(await countStored()).toBe(before)
  })

  test('is `rate-limited` for a source that workers say has more than its share', async () => {
    const producer = await produce({ source: 'hot' })
    const other = await produce({ source: 'other' })
    const { model } = speak({ heldS: { normal: 18 }, heavy: [sourceDigest('hot')] })
    await other.publish({ model, features: {} })
    const refusal = await hearing(producer, { model, ...MINUTE })
    expect([refusal.code, refusal.details.field]).toEqual(['rate-limited', 'share'])
    await other.tryPublish({ model, ...MINUTE })
  })

  test('refuses lanes from the lowest on', async () => {
    const producer = await produce()
    const speaker = speak({ heldS: MUCH })
    await hearing(producer, { model: speaker.model, ...MINUTE })
    const refused = async (): Promise<readonly string[]> => {
      const lanes: string[] = []
      for (const lane of LANES)
        await producer.tryPublish({ model: speaker.model, lane, ...MINUTE }).catch(() => lanes.push(lane))
      return lanes
    }
    for (const [high, lanes] of [
      [5, []],
      [15, ['low']],
      [30, ['normal', 'low']],
      [90, ['high', 'normal', 'low']],
    ] as const) {
      speaker.say({ heldS: { high } })
      const isSo = async (): Promise<boolean> => String(await refused()) === String(lanes)
      await eventually(`${high} s of work to keep out ${lanes.length} lanes`, isSo)
    }
  })

  test('refuses what a gate shuts out, also without a deadline', async () => {
    const producer = await produce()
    const gate = {
      limit: 'breaker',
      lanes: LANES,
      value: 5,
      measured: 9,
      retryAfterMs: 2_000,
      because: 'the model fails',
    }
    const { model } = speak({ gates: [gate] })
    await producer.publish({ model, features: {} })
    const refusal = await hearing(producer, { model, features: {} })
    expect(refusal.message).toBe(
      'overloaded: the model fails (breaker = 9, at most 5). Nothing was stored. Come back in 2000 ms.',
    )
  })
})

describe('publish', () => {
  test('waits, and stores the event as it was given once the backlog is gone', async () => {
    const producer = await produce()
    const speaker = speak({ heldS: MUCH })
    await hearing(producer, { model: speaker.model, ...MINUTE })
    const before = await countStored()
    const features = { x: 1 }
    const publishing = producer.publish({ model: speaker.model, id: 'patient', ...MINUTE, features })
    features.x = 2
    expect(producer.pending).toBe(1)
    expect(await countStored()).toBe(before)
    speaker.say({})
    const { sequence } = await publishing
    const { message } = await requestApi<{ readonly message: { readonly data: string } }>(
      connection,
      `STREAM.MSG.GET.${STREAMS.features}`,
      { seq: sequence },
    )
    expect(JSON.parse(Buffer.from(message.data, 'base64').toString())).toMatchObject({ features: { x: 1 } })
    expect(producer.pending).toBe(0)
  })

  test('gives up in the end as `tryPublish` does at once, and so does `request`', async () => {
    const producer = await produce({ admissionWaitMs: 1_500 })
    const { model } = speak({ heldS: MUCH })
    const told = listen()
    await hearing(producer, { model, ...MINUTE })
    const waiting = [producer.publish({ model, ...MINUTE }), producer.request({ model, ...MINUTE })]
    expect(producer.pending).toBe(2)
    for (const each of await Promise.allSettled(waiting))
      expect(each).toMatchObject({
        reason: { code: 'overloaded', details: { field: 'backlog', retryAfterMs: expect.any(Number) } },
      })
    expect(told.map(({ limit }) => limit)).toEqual(['backlog', 'backlog', 'backlog'])
    expect(producer.pending).toBe(0)
  })

  test('does not wait where that is in vain: it has to come back later than it may wait', async () => {
    const producer = await produce({ admissionWaitMs: 2 ** 31 })
    const { model } = speak({ heldS: { normal: 10_000 } })
    await hearing(producer, { model, ...MINUTE })
    const refusal = await producer.publish({ model, ...MINUTE }).catch((thrown: unknown) => thrown)
    expect((refusal as PeltonError).details.retryAfterMs).toBeGreaterThan(30_000)
  })

  test('never waits with an event that has no deadline, or is past it, for what waits', async () => {
    const producer = await produce({ admissionWaitMs: 0 })
    const { model } = speak({ heldS: { high: 10_000 } })
    await hearing(producer, { model, ...MINUTE })
    for (const lane of LANES) await producer.publish({ model, lane, features: {} })
    await producer.publish({ model, features: {}, expiresAt: new Date(0) })
  })

  test('waits for the seconds of backlog that a lane without deadlines may have', async () => {
    const producer = await produce()
    const maxBacklogSeconds = { high: 0, normal: 0, low: 5 }
    const speaker = speak({ heldS: { low: 6.2 }, maxBacklogSeconds })
    const event = { model: speaker.model, lane: 'low', features: {} } as const
    expect((await hearing(producer, event)).details.field).toBe('maxBacklogSeconds')
    const publishing = producer.publish(event)
    speaker.say({ maxBacklogSeconds })
    await publishing
  })

  test('of a producer that closes is let in or refused before it does', async () => {
    const producer = await produce()
    const speaker = speak({ heldS: MUCH })
    await hearing(producer, { model: speaker.model, ...MINUTE })
    const publishing = producer.publish({ model: speaker.model, ...MINUTE })
    const closing = producer.close()
    speaker.say({})
    const receipt = await publishing
    await closing
    expect(receipt.duplicate).toBe(false)
  })

  test('refuses what cannot be sent before it waits', async () => {
    const producer = await produce()
    const { model } = speak({ heldS: MUCH })
    await hearing(producer, { model, ...MINUTE })
    const both = { ...MINUTE, data: new Uint8Array() }
    await expect(producer.publish({ model, ...both })).rejects.toMatchObject({ code: 'invalid-argument' })
    await expect(producer.publish({ ...MINUTE, model: '' })).rejects.toMatchObject({
      details: { field: 'model' },
    })
  })
})

describe('the mode of a model', () => {
  test('`observe` stores everything, and tells what it would have refused', async () => {
    const producer = await produce()
    const { model } = speak({ heldS: MUCH, mode: 'observe' })
    const told = listen()
    await eventually('something that would be refused', async () => {
      await producer.tryPublish({ model, ...MINUTE })
      return told.length > 0
    })
    expect(told[0]).toMatchObject({ model, limit: 'backlog', isEnforced: false, waitedMs: 0 })
  })

  test('may change while a producer runs', async () => {
    const producer = await produce()
    const speaker = speak({ heldS: MUCH })
    await hearing(producer, { model: speaker.model, ...MINUTE })
    speaker.say({ heldS: MUCH, mode: 'off' })
    const told = listen()
    await eventually('the producer to hear it', () =>
      producer.tryPublish({ model: speaker.model, ...MINUTE }).catch(() => undefined),
    )
    const before = told.length
    await producer.tryPublish({ model: speaker.model, ...MINUTE })
    expect(told).toHaveLength(before)
  })
})

describe('without admission', () => {
  test('a producer that switched it off asks nobody', async () => {
    const producer = await produce({ admission: false })
    const asking = await produce()
    const { model } = speak({ heldS: { high: 10_000 } })
    await hearing(asking, { model, ...MINUTE })
    await producer.publish({ model, ...MINUTE })
    await producer.tryPublish({ model, ...MINUTE })
  })

  test('neither setting takes what it cannot use', async () => {
    const given = { ...broker.place, source: 's' }
    for (const options of [{ admission: 'no' as never }, { admissionWaitMs: -1 }])
      await expect(createProducer({ ...given, ...options })).rejects.toMatchObject({
        code: 'invalid-argument',
        details: { field: Object.keys(options)[0] },
      })
  })
})

test('where nobody says how much waits, the full stream is the last wall, and most of what it would refuse is not sent', async () => {
  const own = await startTestBroker()
  onTestFinished(() => own.stop())
  await own.provision({ topology: { featuresMaxMessages: 1 } })
  const producer = await createProducer({ ...own.place, source: 'gate/7', admissionWaitMs: 0 })
  onTestFinished(() => producer.close())
  await producer.publish({ model: 'm', features: {} })
  const codes = new Map<string, number>()
  for (let event = 0; event < 200; event++) {
    const thrown = await producer.publish({ model: 'm', features: {} }).catch((error: unknown) => error)
    const { code } = thrown as PeltonError
    codes.set(code, (codes.get(code) ?? 0) + 1)
  }
  expect([...codes.keys()].sort()).toEqual(['overloaded', 'stream-full'])
  expect(codes.get('overloaded')).toBeGreaterThan(100)
})

test('a user that may not hear the flow goes on, and is told once', async () => {
  const user = (name: string, permissions: string): string =>
    `{ user: ${name}, password: p, permissions: { ${permissions} } }`
  const users = [
    user('admin', 'publish: ">", subscribe: ">"'),
    user('app', 'publish: ">", subscribe: "_INBOX.>"'),
  ]
  const { port, stop } = await startSecuredServer({
    config: `authorization { users: [${users.join(', ')}] }`,
  })
  onTestFinished(stop)
  const url = `nats://127.0.0.1:${port}`
  const admin = await connectBroker({ url, name: 'test', user: 'admin', password: 'p' })
  onTestFinished(() => admin.close())
  await provision(admin, {})
  const troubles: ConnectionTrouble[] = []
  const login = { url, user: 'app', password: 'p', inboxPrefix: '_INBOX' }
  const producer = await createProducer({
    ...login,
    source: 's',
    onTrouble: (trouble) => void troubles.push(trouble),
  })
  onTestFinished(() => producer.close())
  const { model } = speak({ heldS: MUCH }, admin)
  for (const each of [model, 'other', 'third'])
    for (let event = 0; event < 20; event++) await producer.publish({ model: each, ...MINUTE })
  await eventually('the trouble to be told', () => troubles.length > 0)
  expect(troubles).toEqual([
    expect.objectContaining({ kind: 'refused', text: expect.stringContaining('pelton.flow.default.') }),
  ])
})

test('an outbox keeps on disk what is refused, says so, and sends it once it is let in', async () => {
  const path = await mkdtemp(join(tmpdir(), 'pelton-outbox-'))
  onTestFinished(() => rm(path, { recursive: true }))
  const outbox = await openOutbox({ path, ...broker.place, source: 'gate/7' })
  onTestFinished(() => outbox.close())
  const speaker = speak({ heldS: MUCH })
  const { model } = speaker
  await eventually('an event to be refused', async () => {
    await outbox.publish({ model, ...MINUTE })
    return (await outbox.stats()).problem
  })
  const { problem, waiting, rejected } = await outbox.stats()
  expect(problem).toMatchObject({ code: 'overloaded', details: { field: 'backlog' } })
  expect(waiting).toBeGreaterThan(0)
  expect(rejected).toBe(0)
  await outbox.publish({ model: `${model}-other`, ...MINUTE })
  await eventually(
    'another model to be sent meanwhile',
    async () => (await outbox.stats()).waiting <= waiting,
  )
  for (let event = 0; event < 100; event++) await outbox.publish({ model, ...MINUTE })
  speaker.say({})
  await outbox.flush()
  expect(await outbox.stats()).toMatchObject({ waiting: 0, rejected: 0, problem: undefined })
})
