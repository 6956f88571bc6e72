import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { audit } from '../../shared/operations/audit/audit.ts'
import { createNames } from '../../shared/sdk/contract/names.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { openOutbox } from '../../shared/sdk/outbox.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { waitFor } from '../../shared/sdk/wait-for.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readStream } from '../kit/outcomes.ts'
import { settled } from '../kit/pipeline.ts'
import { PATIENT } from '../kit/wait.ts'
import { spawnWorkerProcess } from '../kit/worker-process.ts'
import { runCli, startCli } from './cli-process.ts'
import { type ControlStage, lookedAt, metricOf, openControlStage } from './control-stage.ts'
import { BAD, EXPIRED, FAST, GOOD, MODEL } from './replay-stage.ts'

const TOPOLOGY = { topology: { ackWaitMs: 3_000 } }
const SOURCE = 'test'
const STAGING = 'staging'
const names = createNames(STAGING)

/** Every stream of the account, by its name at the broker, with how many messages it ever took. */
async function allStreams(connection: NatsConnection): Promise<ReadonlyMap<string, number>> {
  const { streams } = await requestApi<{
    readonly streams: readonly { config: { name: string }; state: { last_seq: number } }[]
  }>(connection, 'STREAM.LIST')
  return new Map(streams.map(({ config, state }) => [config.name, state.last_seq]))
}

describe('staging and production on one server and account', () => {
  let production: ControlStage
  let staging: ControlStage

  beforeAll(async () => {
    production = await openControlStage(TOPOLOGY)
    staging = await openControlStage({ ...TOPOLOGY, beside: production, prefix: STAGING })
  })
  afterAll(async () => {
    await staging?.close()
    await production?.close()
  })

  test('have streams of their own, by the names of the protocol', async () => {
    const found = [...(await allStreams(production.connection)).keys()].sort()
    const plain = [...Object.values(STREAMS), ...Object.values(STORES), 'OBJ_pelton-artifacts']
    expect(found).toEqual([...plain, ...plain.map(names.stream)].sort())
    const notes: string[] = []
    await provision(staging.connection, { ...TOPOLOGY, note: (text) => notes.push(text) })
    expect(notes).toEqual([])
  })

  test('answer the same events each for itself, under load, with a worker killed in each', async () => {
    const counts = { production: 300, staging: 200 }
    const publishTo = async (stage: ControlStage, count: number): Promise<string[]> => {
      const { prefix } = stage === staging ? { prefix: STAGING } : { prefix: undefined }
      const producer = await createProducer({
        url: stage.broker.url,
        source: SOURCE,
        ...(prefix && { prefix }),
      })
      const data = Buffer.from(GOOD)
      const receipts = Array.from({ length: count }, (_item, index) =>
        producer.publish({ model: MODEL, id: `event-${index}`, data }),
      )
      const tokens = (await Promise.all(receipts)).map(({ token }) => token)
      await producer.close()
      return tokens
    }
    const killed = [await production.startWorker(), await staging.startWorker()]
    const publishing = [publishTo(production, counts.production), publishTo(staging, counts.staging)]
    await vi.waitFor(async () => {
      for (const stage of [production, staging])
        expect(await stage.lastIn(STREAMS.results)).toBeGreaterThan(0)
    }, PATIENT)
    for (const worker of killed) worker.kill('SIGKILL')
    await Promise.all([production.startWorker(), staging.startWorker()])
    const [ofProduction = [], ofStaging = []] = await Promise.all(publishing)
    expect(ofProduction.slice(0, counts.staging)).toEqual(ofStaging)
    for (const [stage, tokens] of [[production, ofProduction] as const, [staging, ofStaging] as const]) {
      const { predictions, failures } = await settled(stage.connection, tokens)
      expect([...predictions.keys()].sort()).toEqual([...tokens].sort())
      expect(failures.size).toBe(0)
      expect(await stage.lastIn(STREAMS.features)).toBe(tokens.length)
      expect(await stage.countIn(STREAMS.results)).toBe(tokens.length)
    }
  })

  test('have dead letters of their own, and replay them each for itself', async () => {
    for (const stage of [production, staging]) {
      for (const id of ['late-1', 'late-2']) await stage.publish(id, GOOD, [EXPIRED])
      await stage.publish('bad-1', BAD, [])
      await stage.hasDeadLetters(3)
    }
    const before = await allStreams(production.connection)
    const replay = ['replay', 'start', '--reason', 'deadline-exceeded', '--json', ...FAST]
    const { code, json, err } = await runCli(replay, staging)
    expect(code, err).toBe(0)
    expect(json()[0]).toMatchObject({ counts: { predicted: 2, failed: 0 } })
    expect(await staging.countIn(STREAMS.deadLetters)).toBe(1)
    const after = await allStreams(production.connection)
    for (const stream of [...Object.values(STREAMS), ...Object.values(STORES)].filter(isNotPresence))
      expect([stream, after.get(stream)]).toEqual([stream, before.get(stream)])
    expect(await production.countIn(STREAMS.deadLetters)).toBe(3)
    expect(await production.replayedInLedger()).toEqual([])
    expect(await staging.replayedInLedger()).toHaveLength(2)
  })

  test('hand dead letters from one to the other, whose workers answer them', async () => {
    await staging.publish('only-here', GOOD, [EXPIRED], MODEL)
    await staging.hasDeadLetters(2)
    const folder = await mkdtemp(join(tmpdir(), 'pelton-archive-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const file = join(folder, 'letters.jsonl')
    const exported = await runCli(['dead-letters', 'export', file, '--reason', 'deadline-exceeded'], staging)
    expect(exported.code, exported.err).toBe(0)
    const imported = await runCli(['dead-letters', 'import', file], production)
    expect(imported.code, imported.err).toBe(0)
    expect(await production.countIn(STREAMS.deadLetters)).toBe(4)
    const token = eventToken(MODEL, SOURCE, 'only-here')
    const [letter] = (await readStream(production.connection, STREAMS.deadLetters)).filter(({ subject }) =>
      subject.endsWith(token),
    )
    expect(letter?.subject).toBe(subjects.deadLetter(MODEL, token))
    expect(letter?.headers.get('x-original-subject')).toBe(`features.default.${MODEL}.normal`)
    expect(letter?.headers.get('pelton-origin')).toMatch(/^FEATURES /)
    const replayed = await runCli(
      ['replay', 'start', '--reason', 'deadline-exceeded', '--json', ...FAST],
      production,
    )
    expect(replayed.json()[0], replayed.err).toMatchObject({ counts: { predicted: 3 } })
    expect(await waitFor(production.connection, { model: MODEL, token })).toMatchObject({
      kind: 'prediction',
    })
    // There it is still a dead letter.
    expect(await waitFor(staging.connection, { model: MODEL, token })).toMatchObject({ kind: 'failure' })
  })

  test.each(['production', 'staging'] as const)('each audit is clean: %s', async (which) => {
    const stage = which === 'staging' ? staging : production
    const { report } = await audit(stage.connection, {
      signal: new AbortController().signal,
      deep: true,
      full: true,
    })
    expect(report).toMatchObject({ lost: [], lostRetries: [], deep: { problems: [] } })
    expect(report.clean, JSON.stringify(report)).toBe(true)
    const { code, out } = await runCli(['audit', '--deep'], stage)
    expect(code, out).toBe(0)
  })

  test('status and doctor of each show its own and nothing of the other', async () => {
    const of = async (stage: ControlStage) => {
      const [shown, told, doctor] = [
        await runCli(['status', '--json'], stage),
        await runCli(['status'], stage),
        await runCli(['doctor', '--json'], stage),
      ]
      return { status: shown.json()[0], shown: shown.out, told: told.out, doctor }
    }
    const ofProduction = await of(production)
    const ofStaging = await of(staging)
    for (const [stage, { status }] of [[production, ofProduction] as const, [staging, ofStaging] as const])
      for (const { name, lastSequence } of status.streams)
        expect([name, lastSequence]).toEqual([name, await stage.lastIn(name)])
    expect(ofStaging.status.prefix).toBe(STAGING)
    expect(ofProduction.status).not.toHaveProperty('prefix')
    for (const text of [ofProduction.shown, ofProduction.told, ofProduction.doctor.out])
      expect(text).not.toContain(STAGING)
    expect(ofStaging.told).toMatch(/^staging-FEATURES /m)
    expect(ofStaging.told).not.toMatch(/(?<!staging-)FEATURES/)
    expect(ofStaging.doctor.code, ofStaging.doctor.out).toBe(0)
  })

  test('control watches one, and says which in its metrics', async () => {
    const prefix = { PELTON_PREFIX: STAGING }
    const [ofProduction, ofStaging] = [await production.control(), await staging.control(prefix)]
    for (const control of [ofProduction, ofStaging])
      await vi.waitFor(async () => expect(await lookedAt(control)).not.toBe(''), PATIENT)
    for (const [stage, control] of [[production, ofProduction] as const, [staging, ofStaging] as const]) {
      const { json } = await control.call('GET', '/v1/status')
      expect(json.deadLetters.total).toBe(await stage.countIn(STREAMS.deadLetters))
      const { json: watched } = await control.call('GET', '/v1/watch')
      expect(watched).toMatchObject({ isThisOne: true, alerts: [] })
    }
    const kept = await staging.countIn(STREAMS.deadLetters)
    await vi.waitFor(async () => {
      expect(await metricOf(ofStaging, 'pelton_dead_letters', { pelton_prefix: STAGING })).toBe(kept)
    }, PATIENT)
    expect((await ofProduction.call('GET', '/metrics')).text).not.toContain('pelton_prefix')
  })

  test('the SDK goes by its prefix: request, wake-ups, subscriber, outbox', async () => {
    const { url } = staging.broker
    const before = [await production.lastIn(STREAMS.features), await staging.lastIn(STREAMS.features)]
    const producer = await createProducer({ url, prefix: STAGING, source: 'sdk' })
    onTestFinished(() => producer.close())
    const woken: string[] = []
    const replyTo = `${STAGING}._pelton.reply.here`
    const listening = producer.connection.subscribe(replyTo, {
      callback: (_error, { subject }) => void woken.push(subject),
    })
    onTestFinished(() => listening.unsubscribe())
    const subscriber = await createSubscriber({ connection: producer.connection, from: 'new' })
    onTestFinished(() => subscriber.close())
    const features = JSON.parse(GOOD).features
    const result = await producer.request({ model: MODEL, id: 'asked', features })
    expect(result).toMatchObject({ kind: 'prediction', id: 'asked', model: MODEL })
    const [received] = await firstOf(subscriber.batches({ maxMessages: 1 }))
    expect(received).toMatchObject({ id: 'asked', model: MODEL })
    received?.ack()
    await producer.publish({ model: MODEL, id: 'woken', features, replyTo })
    await vi.waitFor(() => expect(woken).toEqual([replyTo]), PATIENT)
    await expect(
      producer.publish({ model: MODEL, features, replyTo: '_pelton.reply.here' }),
    ).rejects.toMatchObject({
      code: 'invalid-argument',
      details: { field: 'replyTo' },
    })
    const path = await mkdtemp(join(tmpdir(), 'pelton-outbox-'))
    onTestFinished(() => rm(path, { recursive: true }))
    const outbox = await openOutbox({ path, url, prefix: STAGING, source: 'sdk' })
    await outbox.publish({ model: MODEL, id: 'kept', features })
    await outbox.close({ drain: true })
    const kept = { model: MODEL, source: 'sdk', id: 'kept' }
    expect(await waitFor(producer, kept)).toMatchObject({ kind: 'prediction' })
    const own = await staging.broker.connect()
    await expect(waitFor(own, kept, { prefix: STAGING })).rejects.toMatchObject({
      details: { field: 'prefix' },
    })
    expect([await production.lastIn(STREAMS.features), await staging.lastIn(STREAMS.features)]).toEqual([
      before[0],
      (before[1] ?? 0) + 3,
    ])
  })
})

async function firstOf<Item>(items: AsyncIterable<Item[]>): Promise<Item[]> {
  for await (const item of items) return item
  return []
}

/** The bucket of presences grows while a worker lives. */
function isNotPresence(stream: string): boolean {
  return stream !== STORES.models
}

describe('what stands in the way', () => {
  let broker: TestBroker
  let connection: NatsConnection

  beforeAll(async () => {
    broker = await startTestBroker()
    connection = await broker.connect({ prefix: undefined })
  })
  afterAll(() => broker?.stop())

  const create = (name: string, ...all: string[]): Promise<unknown> =>
    requestApi(connection, `STREAM.CREATE.${name}`, {
      name,
      subjects: all,
      storage: 'memory',
      max_consumers: -1,
    })
  const remove = (name: string): Promise<unknown> => requestApi(connection, `STREAM.DELETE.${name}`)

  test('a stream of somebody else under the same name is named, and a prefix goes round it', async () => {
    await create('RESULTS', 'exams.>')
    onTestFinished(() => remove('RESULTS').then(() => undefined))
    const refused = await runCli(['provision'], { env: { PELTON_NATS_URL: broker.url } })
    expect(refused.code).toBe(1)
    expect(refused.err).toMatch(
      /not-provisioned: a stream that is none of Pelton's has the name RESULTS .*subjects = exams\.>.*PELTON_PREFIX/,
    )
    const env = { PELTON_NATS_URL: broker.url, PELTON_PREFIX: 'ours' }
    const made = await runCli(['provision'], { env })
    expect(made.code, made.err).toBe(0)
    expect(made.out).toMatch(/^created stream ours-RESULTS$/m)
    expect(made.out).not.toMatch(/stream RESULTS/)
  })

  test.each([
    ['that look like its own and are not', ['third.exams.>', 'exams.>']],
    ['that are those of a Pelton without a prefix', ['results.*.*']],
    ['that begin as streams of Pelton are called', ['RESULTS.>', 'LEDGER.*']],
  ])(
    'under the name of one with a prefix it is told by its subjects, also by those %s',
    async (_what, taken) => {
      await create('third-RESULTS', ...taken)
      onTestFinished(() => remove('third-RESULTS').then(() => undefined))
      const env = { PELTON_NATS_URL: broker.url, PELTON_PREFIX: 'third' }
      const refused = await runCli(['provision'], { env })
      expect([refused.code, refused.out]).toEqual([1, ''])
      expect(refused.err).toContain("a stream that is none of Pelton's has the name third-RESULTS")
      expect(refused.err).toContain(`subjects = ${taken.join(', ')})`)
      const doctor = await runCli(['doctor'], { env })
      expect(doctor.out).toContain(
        `stream third-RESULTS: it is none of Pelton's: its subjects are ${taken.join(', ')}`,
      )
    },
  )

  test('a worker logs what is missing by its name at the broker', async () => {
    const env = { PELTON_NATS_URL: broker.url, PELTON_PREFIX: 'lacking' }
    expect((await runCli(['provision'], { env })).code).toBe(0)
    await remove('KV_pelton-lacking-models')
    const folder = await modelsFolder([])
    onTestFinished(() => folder.remove())
    const worker = spawnWorkerProcess({ url: broker.url, models: folder.path, env })
    onTestFinished(() => worker.kill('SIGKILL'))
    expect(await worker.ended).toBe(1)
    const told = worker.log.filter(({ level }) => level !== 'info').map((line) => JSON.stringify(line))
    expect(told.join('\n')).toContain('stream KV_pelton-lacking-models does not exist')
    expect(told.join('\n')).not.toMatch(/KV_pelton-models|pelton-models/)
  })

  test('a stream that takes some of the same subjects is named', async () => {
    await create('orders', 'other.features.>', 'orders.>')
    onTestFinished(() => remove('orders').then(() => undefined))
    const env = { PELTON_NATS_URL: broker.url, PELTON_PREFIX: 'other' }
    const { code, out, err } = await runCli(['provision'], { env })
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(
      /stream orders of this account takes subjects that other-FEATURES needs .*other\.features\.\*\.\*\.high.*PELTON_PREFIX/s,
    )
  })

  test('so it is where its name is that of a stream of the Pelton without a prefix', async () => {
    await create('RESULTS', 'other.results.>')
    onTestFinished(() => remove('RESULTS').then(() => undefined))
    const env = { PELTON_NATS_URL: broker.url, PELTON_PREFIX: 'other' }
    const { code, err } = await runCli(['provision'], { env })
    expect(code).toBe(1)
    expect(err).toContain('stream "RESULTS" of this account takes subjects that other-RESULTS needs')
    expect(err).toContain('`nats stream edit "RESULTS"`')
  })

  test('another prefix is not there: every command says which stream is missing', async () => {
    const env = { PELTON_NATS_URL: broker.url, PELTON_PREFIX: 'absent' }
    const published = await runCli(['publish', 'm'], { env, input: '{"features": {"x": 1}}' })
    expect([published.code, published.err]).toEqual([1, expect.stringContaining('stream absent-FEATURES')])
    const shown = await runCli(['status'], { env })
    expect([shown.code, shown.out]).toEqual([1, expect.stringMatching(/^absent-LEDGER +missing/m)])
    const producer = createProducer({ url: broker.url, prefix: 'absent', source: 'x' })
    await expect(producer).rejects.toMatchObject({
      code: 'not-provisioned',
      message: expect.stringContaining('stream absent-FEATURES'),
    })
    const subscriber = createSubscriber({ url: broker.url, prefix: 'absent' })
    await expect(subscriber).rejects.toThrow('stream absent-RESULTS')
  })

  test('a prefix that cannot be one is refused with what it may be', async () => {
    const { code, err } = await runCli(['status'], {
      env: { PELTON_NATS_URL: broker.url, PELTON_PREFIX: 'a.b' },
    })
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/PELTON_PREFIX = "a\.b": must be 1 to 32 characters/),
    ])
    await expect(createProducer({ url: broker.url, prefix: 'results', source: 'x' })).rejects.toMatchObject({
      code: 'invalid-argument',
      details: { field: 'prefix', value: '"results"' },
    })
  })

  test('a connection is for one prefix', async () => {
    const shared = await broker.connect({ prefix: 'ours' })
    await expect(createProducer({ connection: shared, prefix: 'other', source: 'x' })).rejects.toMatchObject({
      details: { field: 'prefix', value: 'other, not ours' },
    })
  })
})

test('up and the demo run with a prefix', async () => {
  const data = await mkdtemp(join(tmpdir(), 'pelton-up-'))
  onTestFinished(() => rm(data, { recursive: true, force: true }))
  const env = { PELTON_DATA: data, PELTON_PREFIX: 'mine', PELTON_CONTROL_PORT: '0' }
  const up = startCli(['up'], { env, input: '' })
  onTestFinished(() => void up.child.kill('SIGKILL'))
  await up.until('PELTON_PREFIX=mine')
  expect(up.err()).toContain('created stream mine-FEATURES')
  const shown = await runCli(['status'], { env })
  expect(shown.out).toMatch(/^mine-RESULTS /m)
  const url = /PELTON_NATS_URL=(\S+)/.exec(up.out())?.[1] ?? ''
  const demo = await runCli(['demo', '--flights', '300', '--workers', '1'], {
    env: { ...env, PELTON_NATS_URL: url },
  })
  expect(demo.code, demo.out + demo.err).toBe(0)
  up.child.kill('SIGINT')
  expect(await up.ended).toBe(0)
})
