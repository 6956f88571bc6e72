import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import type { ModelRecord } from '../../shared/operations/models/model-record.ts'
import {
  openPoolModels,
  type PoolModels,
  type PoolModelsOptions,
} from '../../shared/operations/models/pool-models.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'

let broker: TestBroker
let connection: NatsConnection
let opened: PoolModels[] = []
let pools = 0

beforeAll(async () => {
  broker = await startTestBroker()
  await broker.provision()
  connection = await broker.connect()
})
afterAll(() => broker.stop())
afterEach(async () => {
  await Promise.all(opened.map((models) => models.close()))
  opened = []
})

const newPool = (): string => `pool ${pools++}`

async function open(pool: string, given: Omit<Partial<PoolModelsOptions>, 'pool'> = {}): Promise<PoolModels> {
  const models = await openPoolModels(await broker.connect(), { pool, ...given })
  opened.push(models)
  return models
}

const serve =
  (worker: string, ...versions: string[]) =>
  (record: ModelRecord): ModelRecord => ({
    ...record,
    serving: { ...record.serving, [worker]: { versions, since: 1 } },
  })

const eventually = (check: () => boolean): Promise<unknown> =>
  vi.waitUntil(check, { timeout: 60_000, interval: 20 })

async function put(subject: string, body: string): Promise<void> {
  const reply = await connection.request(subject, body, { timeout: 5_000 })
  expect(reply.json()).toHaveProperty('seq')
}

test('two workers that change one record at once lose no change', async () => {
  const pool = newPool()
  const [one, two] = await Promise.all([open(pool, { worker: 'one' }), open(pool, { worker: 'two' })])
  const count = (record: ModelRecord): ModelRecord => ({
    ...record,
    apart: { since: 1, inARow: (record.apart?.inARow ?? 0) + 1 },
  })
  await Promise.all(
    Array.from({ length: 40 }, (_each, index) => (index % 2 ? one : two).update('delay', count)),
  )
  expect((await one.update('delay', (record) => record)).apart).toEqual({ since: 1, inARow: 40 })
  await eventually(() => two.find('delay')?.apart?.inARow === 40)
})

test('a record is seen at once by who changed it, and by watchers that were opened before and after', async () => {
  const pool = newPool()
  const before = await open(pool)
  const told: string[] = []
  before.onChange((model) => told.push(model))
  const worker = await open(pool, { worker: 'one' })
  expect(worker.find('a.b')).toBeUndefined()
  await worker.update('a.b', serve('one', '1', '2'))
  expect(worker.find('a.b')).toEqual({
    pool,
    model: 'a.b',
    versions: {},
    serving: { one: { versions: ['1', '2'], since: 1 } },
    refusing: {},
  })
  await eventually(() => before.find('a.b') !== undefined)
  expect(told).toContain('a.b')
  const after = await open(pool)
  expect([...after.all()]).toEqual([worker.find('a.b')])
  // Another pool has records of its own.
  expect([...(await open(newPool())).all()]).toEqual([])
})

test('a change that changes nothing stores nothing', async () => {
  const pool = newPool()
  const worker = await open(pool, { worker: 'one' })
  await worker.update('delay', serve('one', '1'))
  const revision = async (): Promise<unknown> =>
    requestApi(connection, `STREAM.MSG.GET.${STORES.models}`, {
      last_by_subj: subjects.modelRecord(pool, 'delay'),
    })
  const first = await revision()
  await worker.update('delay', serve('one', '1'))
  expect(await revision()).toEqual(first)
})

test('a worker serves elsewhere while it is alive, and no longer once it has said that it goes', async () => {
  const pool = newPool()
  const one = await open(pool, { worker: 'one' })
  const two = await open(pool, { worker: 'two' })
  await one.update('delay', serve('one', '1'))
  await eventually(() => two.servedElsewhere('delay'))
  expect([two.servedElsewhere('delay', '1'), two.servedElsewhere('delay', '2')]).toEqual([true, false])
  expect(one.servedElsewhere('delay')).toBe(false) // that is itself
  const told: string[] = []
  two.onChange((model) => told.push(model))
  await one.close()
  await eventually(() => !two.servedElsewhere('delay'))
  await eventually(() => told.includes('delay'))
  expect(two.find('delay')?.serving).toHaveProperty('one') // the record says what was, presence what is
})

test('a worker that ends without a word is gone after a while', async () => {
  const pool = newPool()
  const own = await broker.connect()
  const one = await openPoolModels(own, { pool, worker: 'one' })
  await one.update('delay', serve('one', '1'))
  const two = await open(pool, { worker: 'two' })
  expect(two.servedElsewhere('delay')).toBe(true)
  await own.close()
  await eventually(() => !two.servedElsewhere('delay'))
  expect(two.workers).toEqual(['two'])
  await one.close()
})

test('what cannot be read is reported, changes nothing of what was known, and is replaced by the next change', async () => {
  const pool = newPool()
  const problems: string[] = []
  const worker = await open(pool, { worker: 'one', onProblem: (text) => problems.push(text) })
  await worker.update('known', serve('one', '1'))
  for (const model of ['known', 'new']) await put(subjects.modelRecord(pool, model), '{"v":1,"versions":[')
  await put(subjects.workerPresence(pool, 'odd'), 'not even JSON')
  await put(subjects.auditFloor(), 'of somebody else')
  await eventually(() => problems.length === 2)
  expect(problems.join()).toMatch(/model "known" cannot be read: it is no JSON/)
  expect(worker.find('known')?.serving).toHaveProperty('one')
  expect(worker.find('new')).toBeUndefined()
  for (const model of ['known', 'new']) await worker.update(model, serve('two', '2'))
  const fresh = await open(pool, { onProblem: (text) => problems.push(text) })
  expect(Object.keys(fresh.find('known')?.serving ?? {})).toEqual(['one', 'two'])
  expect(Object.keys(fresh.find('new')?.serving ?? {})).toEqual(['two'])
  expect(problems).toHaveLength(2)
})

test('a presence under its name is of the process before it, until the bucket takes one of its own', async () => {
  const pool = newPool()
  const before = await open(pool, { worker: 'one' })
  expect([before.isPresent, before.workers]).toEqual([true, ['one']])
  const info = await streamInfo(connection, STORES.models)
  const bounded = (maxBytes: unknown): Promise<unknown> =>
    requestApi(connection, `STREAM.UPDATE.${STORES.models}`, { ...info?.config, max_bytes: maxBytes })
  await bounded(info?.state.bytes)
  onTestFinished(() => bounded(info?.config.max_bytes).then(() => undefined))
  const again = await open(pool, { worker: 'one' })
  expect([again.isPresent, again.workers]).toEqual([false, ['one']])
  await bounded(info?.config.max_bytes)
  await eventually(() => again.isPresent)
  expect((await open(pool)).isPresent).toBe(false) // a reader says nothing of itself
})

test('the record of a newer Pelton is not written over', async () => {
  const pool = newPool()
  const worker = await open(pool, { worker: 'one' })
  await put(subjects.modelRecord(pool, 'delay'), '{"v":2}')
  await expect(worker.update('delay', serve('one', '1'))).rejects.toMatchObject({ code: 'conflict' })
})

test('a name that cannot stand in a subject is refused, and nothing else with it', async () => {
  const worker = await open(newPool(), { worker: 'one' })
  await expect(worker.update('é'.repeat(128), serve('one', '1'))).rejects.toMatchObject({
    code: 'invalid-argument',
  })
  await worker.update('delay', serve('one', '1'))
})

test('without the bucket the opening says what to do', async () => {
  const bare = await startTestBroker()
  try {
    const opening = openPoolModels(await bare.connect(), { pool: 'p', worker: 'w' })
    await expect(opening).rejects.toMatchObject({
      code: 'not-provisioned',
      message: expect.stringContaining('provision'),
    })
  } finally {
    await bare.stop()
  }
})

test('a watcher goes on after the broker was restarted, and workers are alive again', async () => {
  const pool = newPool()
  const problems: string[] = []
  const one = await open(pool, { worker: 'one', onProblem: (text) => problems.push(text) })
  const two = await open(pool, { worker: 'two' })
  await one.update('delay', serve('one', '1'))
  await eventually(() => two.servedElsewhere('delay'))
  await broker.restart()
  await one.update('delay', serve('one', '1', '2'))
  await eventually(() => two.servedElsewhere('delay', '2'))
  await two.update('other', serve('two', '7'))
  await eventually(() => one.servedElsewhere('other', '7'))
})

test('a bucket that is made anew is read anew', async () => {
  const pool = newPool()
  const one = await open(pool, { worker: 'one' })
  const two = await open(pool, { worker: 'two' })
  for (const model of ['delay', 'gone']) await one.update(model, serve('one', '1'))
  await eventually(() => two.find('gone') !== undefined)
  await requestApi(connection, `STREAM.DELETE.${STORES.models}`)
  await broker.provision()
  await eventually(() => two.find('gone') === undefined && one.find('gone') === undefined)
  await one.update('delay', serve('one', '3'))
  await eventually(() => two.servedElsewhere('delay', '3'))
})
