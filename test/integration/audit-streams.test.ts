import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { audit } from '../../shared/operations/audit/audit.ts'
import { reportLines } from '../../shared/operations/audit/report-lines.ts'
import { addMark } from '../../shared/operations/watch-record/marks.ts'
import { EMPTY_RECORD, WATCH_KEY } from '../../shared/operations/watch-record/record.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { encodeLedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { runCli } from './cli-process.ts'

let folder: string
let broker: TestBroker
let connection: NatsConnection

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-audit-'))
  await start()
  await broker.provision()
})

afterEach(async () => {
  await broker.stop()
  await rm(folder, { recursive: true, force: true })
})

async function start(): Promise<void> {
  broker = await startTestBroker({ dataDir: join(folder, 'broker') })
  connection = await broker.connect()
}

/** Publishes until FEATURES has given out this sequence. */
async function publishTo(last: number): Promise<void> {
  const block = headers()
  block.set(HEADERS.source, 'test')
  for (let sequence = 0; sequence < last; ) {
    block.set(HEADERS.id, crypto.randomUUID())
    const subject = subjects.feature({ pool: 'default', model: 'm', lane: 'normal' })
    const reply = await connection.request(subject, '{}', { headers: block, timeout: 5_000 })
    sequence = reply.json<{ seq: number }>().seq
  }
}

/** What a worker would do with these sequences. */
async function settle(first: number, last: number): Promise<void> {
  const entries = Array.from({ length: last - first + 1 }, (_entry, index) => first + index)
  const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
  const body = encodeLedgerRecord({
    ...{ stream: STREAMS.features, epoch, by: 'test' },
    entries: entries.map((sequence) => ({ sequence, outcome: 'predicted' })),
  })
  await connection.request(subjects.ledger('default'), body)
  for (const seq of entries) await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.features}`, { seq })
}

async function look(options: { full?: boolean } = {}) {
  return (await audit(connection, { signal: AbortSignal.abort(), ...options })).report
}

async function cli(...args: string[]) {
  return runCli(['audit', ...args], { env: { PELTON_NATS_URL: broker.url } })
}

async function doctorOf(check: string): Promise<readonly object[]> {
  const { json } = await runCli(['doctor', '--json'], { env: { PELTON_NATS_URL: broker.url } })
  return json().filter((finding) => finding.check === check)
}

describe('a FEATURES that was deleted and made anew', () => {
  test('takes nothing with it in silence: what waited at the floor is lost until somebody signs for it', async () => {
    await publishTo(20)
    await settle(1, 5)
    expect((await cli('--sign-off')).code).toBe(0)
    await settle(6, 8)
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    await broker.provision()
    await publishTo(2)

    const report = await look()
    expect(report).toMatchObject({
      ...{ clean: false, lost: [], waiting: 2, lostEarlier: { epoch, sequences: [[9, 20]] } },
      warnings: [expect.stringContaining('another FEATURES'), expect.stringContaining('made anew')],
    })
    expect(await look({ full: true })).toMatchObject({ clean: false, lostEarlier: { sequences: [[9, 20]] } })
    const loud = reportLines(report).filter(({ level }) => level !== 'plain')
    expect(loud.map(({ level }) => level)).toEqual(['bad', 'bad', 'warn', 'warn', 'warn'])
    const refused = await cli('--purged', '8', '--reason', 'a trial')
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('Lost are: 9-20')])

    const signed = await cli('--purged', '9-20', '--reason', 'FEATURES was deleted', '--sign-off')
    expect([signed.code, signed.out]).toEqual([0, expect.stringContaining('made anew')])
    const after = await look()
    expect(after).toMatchObject({
      clean: true,
      waiting: 2,
      floor: { sequence: 2 },
      earlier: [],
      warnings: [],
    })
    expect(after.lostEarlier).toBeUndefined()
  })

  async function remake(): Promise<string> {
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    await broker.provision()
    return epoch
  }

  test('is told of where no floor was signed off, by what the ledger names; until somebody signs for it', async () => {
    await publishTo(5)
    await settle(1, 1)
    await settle(3, 4)
    const epoch = await remake()
    const report = await look()
    expect(report).toMatchObject({
      ...{ clean: false, earlier: [{ entries: 3, byWorkers: 3 }] },
      ...{ lostEarlier: { epoch, sequences: [[2, 2]] } },
      warnings: [expect.stringContaining('what it still held is not known')],
    })
    expect(reportLines(report)).toContainEqual({
      level: 'warn',
      text: expect.stringMatching(/^3 entries of another FEATURES, .* made anew/),
    })
    expect((await cli('--sign-off')).code).toBe(1)
    const purged = await cli('--purged', '2', '--reason', 'a trial')
    expect([purged.code, purged.out]).toEqual([
      1,
      expect.stringMatching(/^Not every event can be proven: 0 events/),
    ])
    expect((await cli('--sign-off')).code).toBe(0)
    for (const full of [false, true])
      expect(await look({ full })).toMatchObject({ clean: true, warnings: [] })
  })

  test('is told of where nothing was settled: by the streams that are made after it', async () => {
    await publishTo(3)
    await remake()
    const alarm = await cli('--json')
    expect(alarm.code).toBe(1)
    expect(alarm.json()).toMatchObject([
      { clean: false, lost: [], warnings: [expect.stringContaining('made anew')] },
    ])
    expect((await cli()).out).toMatch(/^Not every event can be proven: 0 events up to sequence 0/)
    expect(await doctorOf('FEATURES')).toMatchObject([
      { level: 'warn', text: expect.stringContaining('made anew') },
    ])
    expect((await cli('--sign-off')).code).toBe(0)
    expect((await cli('--deep')).out).toMatch(/^Every event is accounted for: 0 events/)
    expect(await doctorOf('FEATURES')).toMatchObject([{ level: 'ok' }])
    await requestApi(connection, 'STREAM.PURGE.KV_pelton-models', { filter: '$KV.pelton-models.audit.floor' })
    expect((await cli()).code).toBe(1)
  })

  test('names by sequence what the watch had seen it give out', async () => {
    await publishTo(6)
    await settle(1, 2)
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    const marks = addMark(undefined, epoch, [Date.now(), 5])
    const record = JSON.stringify({ ...EMPTY_RECORD, features: marks })
    await connection.request(`$KV.pelton-replays.${WATCH_KEY}`, record)
    await remake()
    expect(await look()).toMatchObject({ clean: false, lostEarlier: { epoch, sequences: [[3, 5]] } })
  })
})

describe('a FEATURES that went back', () => {
  const features = (): string => join(folder, 'broker', 'jetstream', '$G', 'streams', STREAMS.features)

  /** FEATURES at sequence 10, all else as it was at 20. */
  async function restoreFeatures(): Promise<void> {
    await publishTo(10)
    await settle(1, 4)
    await broker.stop()
    await cp(features(), join(folder, 'copy'), { recursive: true })
    await start()
    await publishTo(20)
    await settle(5, 18)
    expect((await cli('--sign-off')).code).toBe(0)
    await broker.stop()
    await rm(features(), { recursive: true })
    await cp(join(folder, 'copy'), features(), { recursive: true })
    await start()
    expect((await streamInfo(connection, STREAMS.features))?.state.last_seq).toBe(10)
  }

  test('is no clean audit, until its numbers go on behind those it had given out', async () => {
    await restoreFeatures()
    expect(await look()).toMatchObject({ clean: false, wentBackFrom: 20, sequences: 10, lost: [] })
    const alarm = await cli()
    expect([alarm.code, alarm.out]).toEqual([1, expect.stringMatching(/^FEATURES went back: 10 events/)])
    expect(alarm.out).toContain('nats stream purge FEATURES --seq 21')
    expect((await cli('--sign-off')).err).toContain('not signed off')

    // The ledger alone knows of 18.
    await requestApi(connection, 'STREAM.PURGE.KV_pelton-models', { filter: '$KV.pelton-models.audit.floor' })
    expect(await look()).toMatchObject({ clean: false, wentBackFrom: 18 })

    await requestApi(connection, `STREAM.PURGE.${STREAMS.features}`, { seq: 21 })
    expect((await streamInfo(connection, STREAMS.features))?.state.last_seq).toBe(20)
    const after = await look()
    expect(after).toMatchObject({ clean: false, lost: [[19, 20]] })
    expect(after.wentBackFrom).toBeUndefined()
    await publishTo(21)
    expect((await cli('--purged', '19-20', '--reason', 'a power cut')).code).toBe(0)
  })

  test('is told by what the watch saw, also when its numbers were given out again', async () => {
    await publishTo(12)
    await settle(1, 12)
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    const noted = async (...sequences: number[]): Promise<void> => {
      let marks = EMPTY_RECORD.features
      for (const [index, sequence] of sequences.entries())
        marks = addMark(marks, epoch, [Date.now() - 60_000 + index, sequence])
      const record = JSON.stringify({ ...EMPTY_RECORD, features: marks })
      await connection.request(`$KV.pelton-replays.${WATCH_KEY}`, record)
    }
    await noted(5, 30)
    expect(await look()).toMatchObject({ clean: false, wentBackFrom: 30 })
    await noted(5, 11, 8, 12)
    expect(await look()).toMatchObject({
      clean: true,
      warnings: [expect.stringMatching(/^FEATURES went back from 11 to 8 before /)],
    })
  })
})
