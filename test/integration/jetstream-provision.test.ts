import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  COPY_HEADROOM_BYTES,
  consumerSpecs,
  DEFAULT_TOPOLOGY,
  streamSpecs,
} from '../../shared/sdk/contract/topology.ts'
import { consumerInfo, requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { fitted } from '../../shared/sdk/jetstream/plan-change.ts'
import { provision, requireConsumer, requireStreams } from '../../shared/sdk/jetstream/provision.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'

let broker: TestBroker
let connection: NatsConnection

beforeEach(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
})
afterEach(() => broker?.stop())

async function configOf(stream: string): Promise<Record<string, unknown>> {
  return { ...(await streamInfo(connection, stream))?.config }
}

async function update(stream: string, changes: object): Promise<void> {
  await requestApi(connection, `STREAM.UPDATE.${stream}`, { ...(await configOf(stream)), ...changes })
}

async function updateConsumer(stream: string, name: string, changes: object): Promise<void> {
  const info = await consumerInfo(connection, stream, name)
  await requestApi(connection, `CONSUMER.CREATE.${stream}.${name}.${info?.config.filter_subject}`, {
    stream_name: stream,
    config: { ...info?.config, ...changes },
    action: 'update',
  })
}

describe('provision', () => {
  it('creates everything, and says so; a second run finds nothing to do', async () => {
    const notes = await broker.provision({ pools: ['default', 'my pool.1'] })
    const streams = streamSpecs(DEFAULT_TOPOLOGY, 1024 * 1024)
    expect(notes.filter((note) => note.startsWith('created stream'))).toHaveLength(streams.length)
    expect(notes.filter((note) => note.startsWith('created consumer'))).toHaveLength(12)
    for (const spec of streams) {
      const config = await configOf(spec.name)
      expect(config).toMatchObject({ ...fitted(spec, config) })
    }
    for (const { stream, ...spec } of consumerSpecs('my pool.1', DEFAULT_TOPOLOGY)) {
      expect((await consumerInfo(connection, stream, spec.durable_name))?.config).toMatchObject(spec)
    }
    expect(await broker.provision({ pools: ['default', 'my pool.1'] })).toEqual([])
  })

  it('works out the largest event from what the broker takes', async () => {
    const small = await startTestBroker({ config: 'max_payload: 64KB' })
    try {
      await small.provision()
      const link = await small.connect()
      expect((await streamInfo(link, 'FEATURES'))?.config.max_msg_size).toBe(64 * 1024 - COPY_HEADROOM_BYTES)
    } finally {
      await small.stop()
    }
  })

  it('refuses a broker whose messages are too small', async () => {
    const tiny = await startTestBroker({ config: 'max_payload: 8KB' })
    try {
      await expect(tiny.provision()).rejects.toMatchObject({
        code: 'not-provisioned',
        details: { field: 'max_payload' },
      })
    } finally {
      await tiny.stop()
    }
  })

  it.each([
    ['more storage than the broker has', { featuresMaxBytes: 2 ** 52 }, 'max_bytes', /FEATURES_MAX_BYTES/],
    ['a ledger larger than the broker', { ledgerMaxBytes: 2 ** 52 }, 'max_bytes', /LEDGER_MAX_BYTES/],
    ['copies a single server cannot keep', { replicas: 3 }, 'num_replicas', /PELTON_REPLICAS/],
  ])('says what to do when asked for %s', async (_what, topology, field, remedy) => {
    await expect(broker.provision({ topology })).rejects.toMatchObject({
      code: 'not-provisioned',
      details: { field, remedy: expect.stringMatching(remedy) },
    })
  })

  it('names another stream as the trouble where one takes its subjects, and makes nothing', async () => {
    await requestApi(connection, 'STREAM.CREATE.OTHER', { name: 'OTHER', subjects: ['features.>'] })
    await expect(broker.provision()).rejects.toMatchObject({
      code: 'not-provisioned',
      message: expect.stringContaining('stream OTHER of this account takes subjects that FEATURES needs'),
      details: { field: 'subjects', remedy: expect.stringMatching(/nats stream edit OTHER.*PELTON_PREFIX/s) },
    })
    expect(await streamInfo(connection, 'RETRIES')).toBeUndefined()
  })

  it('gives the ledger what the other streams leave, to the last byte', async () => {
    const room = (DEFAULT_TOPOLOGY.featuresMaxBytes + 2 ** 30) / 1024
    const config = `accounts { A { jetstream: { max_file: ${room}KB, max_mem: 1G }, users: [{ user: a, password: a }] } }`
    const exact = await startTestBroker({ config })
    try {
      const link = await exact.connect({ user: 'a', password: 'a' })
      await provision(link)
      expect((await streamInfo(link, 'LEDGER'))?.config.max_bytes).toBe(2 ** 30)
      await exact.restart()
      const notes: string[] = []
      const again = await exact.connect({ user: 'a', password: 'a' })
      await provision(again, { note: (text) => notes.push(text) })
      expect(notes).toEqual([])
    } finally {
      await exact.stop()
    }
  })

  it('gives the ledger as much of its default as there is room for, and leaves it so', async () => {
    const config =
      'accounts { A { jetstream: { max_file: 7G, max_mem: 1G }, users: [{ user: a, password: a }] } }'
    const small = await startTestBroker({ config })
    try {
      const link = await small.connect({ user: 'a', password: 'a' })
      const ledger = async () => (await streamInfo(link, 'LEDGER'))?.config
      const notes: string[] = []
      const note = (text: string) => notes.push(text)
      await provision(link, { note })
      expect(notes).toContain(
        `stream LEDGER: the broker has room for ${2 * 1024 ** 3} bytes, not for ${DEFAULT_TOPOLOGY.ledgerMaxBytes}`,
      )
      expect(await ledger()).toMatchObject({ max_bytes: 2 * 1024 ** 3, discard: 'new' })
      notes.length = 0
      await provision(link, { note })
      expect(notes).toEqual([])
      await provision(link, { note, topology: { ledgerMaxBytes: 2.5 * 1024 ** 3 } })
      expect(notes).toEqual(['changed stream LEDGER: max_bytes 2147483648 → 2684354560'])
    } finally {
      await small.stop()
    }
  })

  it('has a ledger of an older version refuse instead of drop, and neither bounds nor loses it', async () => {
    const spec = streamSpecs(DEFAULT_TOPOLOGY, 1024 * 1024).find(({ name }) => name === 'LEDGER')
    const { max_bytes: _none, ...before } = { ...spec, discard: 'old' }
    await requestApi(connection, 'STREAM.CREATE.LEDGER', before)
    const window = new PublishWindow(connection)
    for (let index = 0; index < 5; index++)
      await window.publish({ subject: 'ledger.default', headers: [], body: Buffer.from('record') })
    window.close()
    const notes = await broker.provision()
    expect(notes.filter((note) => note.includes('LEDGER'))).toEqual([
      `stream LEDGER: max_bytes stays at -1, larger than ${DEFAULT_TOPOLOGY.ledgerMaxBytes}`,
      'changed stream LEDGER: discard "old" → "new"',
    ])
    expect(await streamInfo(connection, 'LEDGER')).toMatchObject({
      config: { discard: 'new', max_bytes: -1 },
      state: { messages: 5 },
    })
  })

  it('lets limits grow without losing what is stored, and says what changed', async () => {
    await broker.provision({ topology: { featuresMaxMessages: 10 } })
    const window = new PublishWindow(connection)
    const event = { subject: 'features.default.m.high', headers: [], body: Buffer.from('x') }
    expect(await window.publish(event)).toMatchObject({ kind: 'stored' })
    window.close()
    const notes = await broker.provision({ topology: { featuresMaxMessages: 20 } })
    expect(notes).toEqual(['changed stream FEATURES: max_msgs 10 → 20, max_msgs_per_subject 5 → 10'])
    expect(await streamInfo(connection, 'FEATURES')).toMatchObject({
      config: { max_msgs: 20, max_msgs_per_subject: 10 },
      state: { messages: 1 },
    })
  })

  it('keeps limits an operator made larger, and says so', async () => {
    await broker.provision()
    await update('RESULTS', { max_msgs: -1, max_age: 48 * 3_600_000_000_000 })
    const notes = await broker.provision()
    expect(notes).toHaveLength(2)
    for (const note of notes) expect(note).toMatch(/^stream RESULTS: max_(?:msgs|age) stays at/)
    expect(await configOf('RESULTS')).toMatchObject({ max_msgs: -1, max_age: 48 * 3_600_000_000_000 })
  })

  it.each([
    ['retention', { retention: 'interest' }],
    ['subjects', { subjects: ['features.*.*.high'] }],
    ['discard', { discard: 'old', discard_new_per_subject: false }],
  ])('refuses to change %s of a stream, and leaves it as it is', async (field, differing) => {
    const [spec] = streamSpecs(DEFAULT_TOPOLOGY, 1024 * 1024)
    await requestApi(connection, 'STREAM.CREATE.FEATURES', { ...spec, ...differing, max_msgs: 7 })
    const before = await configOf('FEATURES')
    await expect(broker.provision()).rejects.toMatchObject({ code: 'not-provisioned', details: { field } })
    expect(await configOf('FEATURES')).toEqual(before)
  })

  it('repairs a consumer that would count attempts', async () => {
    await broker.provision()
    await updateConsumer('FEATURES', 'worker-default-high', { max_deliver: 3 })
    await expect(requireConsumer(connection, 'FEATURES', 'worker-default-high')).rejects.toMatchObject({
      code: 'not-provisioned',
      details: { field: 'max_deliver' },
    })
    expect(await broker.provision()).toEqual(['changed consumer worker-default-high: max_deliver 3 → -1'])
    expect(await requireConsumer(connection, 'FEATURES', 'worker-default-high')).toMatchObject({
      ackWaitMs: 30_000,
    })
  })

  it('refuses a consumer with a backoff of its own, or another filter', async () => {
    await broker.provision()
    await updateConsumer('RETRIES', 'retry-default-low', { max_deliver: 5, backoff: [1_000_000_000] })
    await expect(broker.provision()).rejects.toMatchObject({
      code: 'not-provisioned',
      details: { field: 'backoff' },
    })
    await requestApi(connection, 'CONSUMER.DELETE.RETRIES.retry-default-low')
    const { stream, ...config } = consumerSpecs('default', DEFAULT_TOPOLOGY).at(-1)!
    await requestApi(connection, `CONSUMER.CREATE.${stream}.retry-default-low.due.x.*.low.*`, {
      stream_name: stream,
      config: { ...config, filter_subject: 'due.x.*.low.*' },
    })
    await expect(broker.provision()).rejects.toMatchObject({
      code: 'not-provisioned',
      details: { field: 'filter_subject' },
    })
  })

  it('can be run by several at once', async () => {
    const links = await Promise.all([1, 2, 3, 4].map(() => broker.connect()))
    await Promise.all(links.map((link) => provision(link, { pools: ['a', 'b'] })))
    expect(await broker.provision({ pools: ['a', 'b'] })).toEqual([])
  })

  it('can be run by several at once who ask for different limits: one of them holds', async () => {
    const links = await Promise.all([1, 2, 3, 4].map(() => broker.connect()))
    await Promise.all(
      links.map((link, index) => provision(link, { topology: { featuresMaxMessages: 10 * (index + 1) } })),
    )
    expect([10, 20, 30, 40]).toContain((await configOf('FEATURES')).max_msgs)
    await broker.provision({ topology: { featuresMaxMessages: 40 } })
    expect((await configOf('FEATURES')).max_msgs).toBe(40)
  })
})

describe('requireStreams and requireConsumer', () => {
  it('name what is missing, and what to do', async () => {
    await expect(requireStreams(connection, ['FEATURES'])).rejects.toMatchObject({
      code: 'not-provisioned',
      message: expect.stringContaining('stream FEATURES'),
      details: { remedy: expect.stringContaining('pelton provision') },
    })
    await broker.provision()
    const found = await requireStreams(connection, ['FEATURES', 'RESULTS'])
    expect([...found.keys()]).toEqual(['FEATURES', 'RESULTS'])
    await expect(requireConsumer(connection, 'FEATURES', 'worker-other-high')).rejects.toMatchObject({
      code: 'not-provisioned',
      message: expect.stringContaining('consumer worker-other-high'),
    })
  })
})
