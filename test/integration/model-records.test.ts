import { renameSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { openPoolModels, type PoolModels } from '../../shared/operations/models/pool-models.ts'
import { createProducer, type Producer } from '../../shared/sdk/producer.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { eventually, PATIENT } from '../kit/wait.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../models/${name}.onnx`, import.meta.url))
const EVENT = Buffer.from('{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,1,1]}]}')

let broker: TestBroker
let pool: PoolModels
let producer: Producer
let folder: Awaited<ReturnType<typeof modelsFolder>>
let workers: WorkerProcess[] = []

beforeAll(async () => {
  broker = await startTestBroker()
  await broker.provision()
  pool = await openPoolModels(await broker.connect(), { pool: 'default' })
  producer = await createProducer({ url: broker.url, source: 'records' })
})
afterAll(async () => {
  await producer.close()
  await pool.close()
  await broker.stop()
})
beforeEach(async () => {
  folder = await modelsFolder(['linear', 'identity-fp32'])
})
afterEach(async () => {
  for (const worker of workers) worker.kill('SIGKILL')
  await Promise.all(workers.map(({ ended }) => ended))
  workers = []
  await folder.remove()
})

async function start(name: string): Promise<WorkerProcess> {
  const env = { PELTON_WORKER: name, PELTON_COPIES: join(folder.path, '.copies') }
  const worker = await startWorkerProcess({ url: broker.url, models: folder.path, env })
  workers.push(worker)
  return worker
}

const until = (what: string, check: () => boolean): Promise<unknown> =>
  eventually(what, () => check() || undefined, { seen: () => [...pool.all()] })

async function answer(): Promise<unknown> {
  const result = await producer.request({ model: 'linear', data: EVENT }, { timeoutMs: 60_000 })
  if (result.kind !== 'prediction') return { result: result.description, logs: workers.map(({ log }) => log) }
  return [result.value('score')]
}

test('a worker records what it serves, and takes itself out when it drains', async () => {
  const worker = await start('one')
  await until('the record', () => pool.servedElsewhere('linear', '1'))
  const record = pool.find('linear')
  expect(record?.versions['1']).toMatchObject({
    digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    sizeBytes: (await readFile(fixture('linear'))).length,
    signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [null, 3] }] },
  })
  expect(record?.serving).toEqual({ one: { versions: ['1'], since: expect.any(Number) } })
  worker.kill()
  expect(await worker.ended).toBe(0)
  await until('its leave', () => !('one' in (pool.find('linear')?.serving ?? {})))
  expect(pool.servedElsewhere('linear')).toBe(false)
  // What was served once stays known.
  expect(Object.keys(pool.find('linear')?.versions ?? {})).toEqual(['1'])
})

test('a worker that is killed stays in the record, and no longer counts', async () => {
  const worker = await start('one')
  await until('the record', () => pool.servedElsewhere('linear'))
  worker.kill('SIGKILL')
  await until('its end', () => !pool.servedElsewhere('linear'))
  expect(pool.find('linear')?.serving).toHaveProperty('one')
})

test('a worker that starts while a folder is away says so, and serves by itself once it is back', async () => {
  await start('one')
  await until('the record', () => pool.servedElsewhere('linear'))
  renameSync(join(folder.path, 'linear'), join(folder.path, '.away'))
  const two = await start('two')
  await until('the refusal', () => 'two' in (pool.find('linear')?.refusing ?? {}))
  expect(pool.find('linear')?.refusing.two).toMatchObject({ version: '1', code: 'model-unavailable' })
  expect(Object.keys(pool.find('linear')?.serving ?? {})).not.toContain('two')
  renameSync(join(folder.path, '.away'), join(folder.path, 'linear'))
  await until('both', () => 'two' in (pool.find('linear')?.serving ?? {}))
  expect(pool.find('linear')?.refusing).not.toHaveProperty('two')
  const told = () => two.log.filter(({ msg }) => String(msg).includes('is served now'))
  await vi.waitFor(() => expect(told()).toHaveLength(1), PATIENT)
  expect(await answer()).toEqual([6.5])
})

test('files that are overwritten in place change no answer, and are not served beside the old ones', async () => {
  await start('one')
  await until('the record', () => pool.servedElsewhere('linear'))
  const digest = pool.find('linear')?.versions['1']?.digest
  expect(await answer()).toEqual([6.5])
  writeFileSync(join(folder.path, 'linear/1/model.onnx'), await readFile(fixture('mixes-rows')))
  expect(await answer()).toEqual([6.5])
  await start('two')
  await until('the refusal', () => 'two' in (pool.find('linear')?.refusing ?? {}))
  expect(pool.find('linear')?.refusing.two?.reason).toContain(
    'not those that other workers of the pool serve',
  )
  expect(pool.find('linear')?.versions['1']?.digest).toBe(digest)
})
