import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { RecordedCalibration, RecordedCost } from '../../shared/operations/models/model-record.ts'
import { openPoolModels, type PoolModels } from '../../shared/operations/models/pool-models.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { eventually } from '../kit/wait.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli } from './cli-process.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../models/${name}.onnx`, import.meta.url))

let broker: TestBroker
let pool: PoolModels
let folder: Awaited<ReturnType<typeof modelsFolder>>
let workers: WorkerProcess[] = []

beforeEach(async () => {
  broker = await startTestBroker()
  await broker.provision()
  pool = await openPoolModels(await broker.connect(), { pool: 'default' })
  folder = await modelsFolder(['linear'])
})
afterEach(async () => {
  for (const worker of workers) worker.kill('SIGKILL')
  await Promise.all(workers.map(({ ended }) => ended))
  workers = []
  await pool.close()
  await broker.stop()
  await folder.remove()
})

async function start(name: string): Promise<WorkerProcess> {
  const env = {
    PELTON_WORKER: name,
    PELTON_COPIES: join(folder.path, '.copies'),
    PELTON_THREADS: '2',
    PELTON_LOG_LEVEL: 'debug',
  }
  const worker = await startWorkerProcess({ url: broker.url, models: folder.path, env })
  workers.push(worker)
  return worker
}

/** A model file under a name and a version of the folder. */
function ship(file: string, name: string, version: string): void {
  mkdirSync(join(folder.path, name, version), { recursive: true })
  copyFileSync(fixture(file), join(folder.path, name, version, 'model.onnx'))
}

/** The calibrations of a model, once so many of them are made. */
function calibrations(model: string, count: number): Promise<readonly RecordedCalibration[]> {
  const made = (): readonly RecordedCalibration[] | undefined => {
    const all = pool.find(model)?.calibrations ?? []
    return all.filter(({ cost }) => cost !== undefined).length === count ? all : undefined
  }
  return eventually(`${count} calibrations of ${model}`, made, {
    seen: () => [pool.find(model), workers.map(({ log }) => log)],
  })
}

/** What a worker has measured, in this order, once it has measured the last. */
function measuredBy({ log }: WorkerProcess, last: string): Promise<readonly string[]> {
  const measured = (): string[] =>
    log.filter(({ msg }) => msg === 'measured').map(({ model, version }) => `${model} ${version}`)
  return eventually(`${last} to be measured`, () => (measured().includes(last) ? measured() : undefined), {
    seen: () => log,
  })
}

test('what a model costs is measured once, kept in its record, and used by a second worker', async () => {
  const one = await start('one')
  const [made] = await calibrations('linear', 1)
  expect(made).toMatchObject({ digest: pool.find('linear')?.versions['1']?.digest, threads: 2 })
  expect(made?.begun).toBeUndefined()
  expect(made?.cost?.timings[0]?.rows).toBe(1)
  expect(made?.cost?.batchRows).toBeGreaterThanOrEqual(1)
  expect(made?.cost?.batchRows).toBeLessThanOrEqual(64)
  expect(await measuredBy(one, 'linear 1')).toEqual(['linear 1'])

  const listed = await runCli(['models', 'list', folder.path, '--json'], {
    env: { PELTON_NATS_URL: broker.url, PELTON_COPIES: join(folder.path, '.copies') },
  })
  const { cpu, threads, since, cost: whole } = made as RecordedCalibration
  const { timings: _timings, ...cost } = whole as RecordedCost
  expect(listed.json()).toMatchObject([{ model: 'linear', calibrations: [{ cpu, threads, since, ...cost }] }])

  // Models are measured in the order of their names.
  ship('identity-fp32', 'z-last', '1')
  const two = await start('two')
  expect(await measuredBy(two, 'z-last 1')).toEqual(['z-last 1'])
  expect(await calibrations('linear', 1)).toEqual([made])
})

test('it is made anew for other files, and on other processors', async () => {
  const one = await start('one')
  const [made] = await calibrations('linear', 1)
  one.kill()
  expect(await one.ended).toBe(0)

  ship('identity-fp32', 'linear', '2')
  const two = await start('two')
  const both = await calibrations('linear', 2)
  expect(both).toContainEqual(made)
  expect(both.map(({ digest }) => digest).sort()).toEqual(
    Object.values(pool.find('linear')?.versions ?? {})
      .map(({ digest }) => digest)
      .sort(),
  )
  expect(await measuredBy(two, 'linear 2')).toEqual(['linear 2'])
  two.kill()
  expect(await two.ended).toBe(0)

  const elsewhere = both.map((one) => ({ ...one, cpu: 'a processor of another name' }))
  await pool.update('linear', (record) => ({ ...record, calibrations: elsewhere }))
  const three = await start('three')
  const all = await calibrations('linear', 4)
  expect(all).toEqual(expect.arrayContaining(elsewhere))
  expect(await measuredBy(three, 'linear 2')).toEqual(['linear 1', 'linear 2'])
})

test('a model that ended two workers while it was measured is not measured again', async () => {
  const one = await start('one')
  const [made] = await calibrations('linear', 1)
  one.kill()
  expect(await one.ended).toBe(0)
  const { cost: _cost, ...unmeasured } = made as RecordedCalibration
  const broken = [{ ...unmeasured, begun: { by: 'gone', times: 2 } }]
  await pool.update('linear', (record) => ({ ...record, calibrations: broken }))
  ship('identity-fp32', 'z-last', '1')
  const two = await start('two')
  expect(await measuredBy(two, 'z-last 1')).toEqual(['z-last 1'])
  expect(pool.find('linear')?.calibrations).toEqual(broken)
})
