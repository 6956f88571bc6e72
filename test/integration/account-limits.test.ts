import type { NatsConnection } from '@nats-io/transport-node'
import { describe, expect, onTestFinished, test } from 'vitest'
import { boundWishes } from '../../shared/sdk/contract/bounds.ts'
import { DEFAULT_TOPOLOGY, STREAMS, type TopologyOptions } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { deepAudit } from '../kit/audit.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { openPipeline } from '../kit/pipeline.ts'
import { runCli } from './cli-process.ts'

const MIB = 1024 ** 2

/** A server whose users are all of one account, with these limits. */
function configOf(limits: string): string {
  return `accounts { A { jetstream: { ${limits} }, users: [{ user: a, password: a }] } }, no_auth_user: a`
}

async function open(limits: string): Promise<TestBroker> {
  const broker = await startTestBroker({ config: configOf(limits) })
  onTestFinished(() => broker.stop())
  return broker
}

async function streamsIn(connection: NatsConnection): Promise<readonly string[]> {
  const { streams } = await requestApi<{ streams: readonly string[] | null }>(connection, 'STREAM.NAMES')
  return streams ?? []
}

interface Case {
  /** The limits of the account. */
  readonly limits: string
  /** What is said without a setting; absent where it works at once. */
  readonly said?: RegExp
  /** What the sentence names is set; absent where only the operator of the account can help. */
  readonly setting?: Readonly<Record<string, string>>
}

const ROOM = 'max_file: 20G, max_mem: 1G'
const CASES: Readonly<Record<string, Case>> = {
  max_bytes_required: { limits: `${ROOM}, max_bytes_required: true` },
  max_ack_pending: {
    limits: `${ROOM}, max_ack_pending: 1000`,
    said: /max_ack_pending = 1000.*PELTON_MAX_ACK_PENDING \(--max-ack-pending\) to 1000/,
    setting: { PELTON_MAX_ACK_PENDING: '1000' },
  },
  'bytes of one stream': {
    limits: `${ROOM}, store_max_stream_bytes: 1GiB`,
    said: /one stream: FEATURES needs 4294967296.*PELTON_FEATURES_MAX_BYTES \(--features-max-bytes\) to 1073741824/,
    setting: { PELTON_FEATURES_MAX_BYTES: '1073741824' },
  },
  'bytes of one stream, required': {
    limits: `${ROOM}, store_max_stream_bytes: 256MiB, max_bytes_required: true`,
    said: /FEATURES needs 4294967296.*PELTON_FEATURES_MAX_BYTES.*to 268435456/,
    setting: { PELTON_FEATURES_MAX_BYTES: '268435456' },
  },
  storage: {
    limits: 'max_file: 1GiB, max_mem: 1G',
    said: /max_storage = 1073741824.*PELTON_FEATURES_MAX_BYTES \(--features-max-bytes\) to 1056964608/,
    setting: { PELTON_FEATURES_MAX_BYTES: '1056964608' },
  },
  'little of everything': {
    limits:
      'max_file: 1GiB, max_mem: 1G, max_streams: 12, max_consumers: 3, store_max_stream_bytes: 256MiB, max_ack_pending: 1000, max_bytes_required: true',
    said: /3 things are in the way, and nothing was made:.*in flight.*one stream.*storage/s,
    setting: { PELTON_FEATURES_MAX_BYTES: String(128 * MIB), PELTON_MAX_ACK_PENDING: '1000' },
  },
  streams: { limits: `${ROOM}, max_streams: 5`, said: /allows 5 streams.*operator of the account for 12/ },
  consumers: { limits: `${ROOM}, max_consumers: 2`, said: /allows 2 consumers.*for 3 or more/ },
}

describe('an account that limits', () => {
  test.each(Object.entries(CASES))(
    '%s: works, or says what to set, and makes nothing',
    async (_what, one) => {
      const broker = await open(one.limits)
      const connection = await broker.connect()
      const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
        runCli(['provision', ...args], { env: { PELTON_NATS_URL: broker.url, ...env } })
      if (one.said !== undefined) {
        for (const args of [['--dry-run'], []]) {
          const { code, err, out } = await run(args)
          expect([code, out]).toEqual([1, ''])
          expect(err).toMatch(one.said)
          expect(err).toMatch(/^pelton: not-provisioned: /)
          expect(await streamsIn(connection)).toEqual([])
        }
        if (one.setting === undefined) return
      }
      const planned = await run(['--dry-run'], one.setting)
      expect([planned.code, planned.err]).toEqual([0, ''])
      expect(planned.out.match(/^would create /gm)).toHaveLength(18)
      expect(await streamsIn(connection)).toEqual([])
      const made = await run([], one.setting)
      expect([made.code, made.err]).toEqual([0, ''])
      expect(await streamsIn(connection)).toHaveLength(12)
      expect((await run([], one.setting)).out).toBe('nothing to change\n')
      expect((await run(['--dry-run'], one.setting)).out).toBe('nothing to change\n')
    },
  )

  test('nothing, on one server, is told that copies need more servers, and nothing is made', async () => {
    const broker = await startTestBroker()
    onTestFinished(() => broker.stop())
    const env = { PELTON_NATS_URL: broker.url, PELTON_REPLICAS: '3' }
    const { code, err } = await runCli(['provision'], { env })
    expect([code, await streamsIn(await broker.connect())]).toEqual([1, []])
    expect(err).toMatch(/^pelton: not-provisioned: .*Lower PELTON_REPLICAS/)
  })

  test('JetStream away is told so, and is no defect', async () => {
    const broker = await startTestBroker({
      config: 'accounts { A { users: [{ user: a, password: a }] } }, no_auth_user: a',
    })
    onTestFinished(() => broker.stop())
    const { code, err } = await runCli(['provision'], { env: { PELTON_NATS_URL: broker.url } })
    expect(code).toBe(1)
    expect(err).toMatch(/JetStream/i)
    expect(err).not.toMatch(/internal/)
  })
})

test('the smallest account runs the whole of Pelton, and its audit is clean', async () => {
  const limits =
    'max_file: 1GiB, max_mem: 1G, max_streams: 12, store_max_stream_bytes: 256MiB, max_ack_pending: 1000, max_bytes_required: true'
  const pipeline = await openPipeline({
    broker: { config: configOf(limits) },
    topology: { featuresMaxBytes: 128 * MIB, maxAckPending: 1_000 },
  })
  onTestFinished(() => pipeline.close())
  const { connection, env } = pipeline
  for (const [name, { least }] of boundWishes(MIB))
    expect(Number((await streamInfo(connection, name))?.config.max_bytes)).toBeGreaterThanOrEqual(least)
  await pipeline.startWorker()
  const good = await pipeline.publish({ id: 'good' })
  const bad = await pipeline.publish({ id: 'bad', body: { features: { origin: 'DTW' } } })
  const outcomes = await pipeline.settled([good, bad])
  expect([outcomes.predictions.size, outcomes.failures.size]).toEqual([1, 1])
  expect((await deepAudit({ connection })).clean).toBe(true)
  const settings = { PELTON_FEATURES_MAX_BYTES: String(128 * MIB), PELTON_MAX_ACK_PENDING: '1000' }
  const { json } = await runCli(['doctor', '--json'], { env: { ...env, ...settings } })
  const findings: readonly { level: string; check: string; text: string }[] = json()
  expect(findings.filter(({ level }) => level === 'fail')).toEqual([])
  const reserve = findings.find(({ check }) => check === 'reserve')
  expect(reserve?.text).toMatch(/FEATURES 128 MiB of 128 MiB left \(100 %\).*RETRIES .*LEDGER /)
  expect(reserve?.text).not.toMatch(/without a bound/)
})

test('a subscriber that asks for more than the account allows in flight is told so', async () => {
  const broker = await open(`${ROOM}, max_ack_pending: 1000`)
  await broker.provision({ topology: { maxAckPending: 1_000 } })
  await expect(createSubscriber({ url: broker.url, maxUnacked: 5_000 })).rejects.toMatchObject({
    code: 'not-provisioned',
    message: expect.stringMatching(/10121.*fewer messages in flight/),
  })
})

test('limits that grow are held against the account as well', async () => {
  const broker = await open('max_file: 5G, max_mem: 1G')
  const asked = (topology: Partial<TopologyOptions>) => broker.provision({ topology })
  await asked({ featuresMaxBytes: 1024 * MIB, ledgerMaxBytes: 1024 * MIB })
  await expect(asked({ featuresMaxBytes: 4096 * MIB, ledgerMaxBytes: 2048 * MIB })).rejects.toMatchObject({
    code: 'not-provisioned',
    details: { field: 'max_storage' },
  })
  const bytes = (await streamInfo(await broker.connect(), STREAMS.features))?.config.max_bytes
  expect(bytes).toBe(1024 * MIB)
  expect(bytes).not.toBe(DEFAULT_TOPOLOGY.featuresMaxBytes)
})
