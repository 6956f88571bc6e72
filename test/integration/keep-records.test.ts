import type { Logger } from 'pino'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { UnavailableModels } from '../../services/worker/infer/unavailable.ts'
import {
  keepModelRecords,
  type ModelRecords,
  type ModelRecordsOptions,
} from '../../services/worker/model-records.ts'
import { openRepository, type ServedModel } from '../../shared/models/repository.ts'
import { openPoolModels, type PoolModels } from '../../shared/operations/models/pool-models.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { latestModels } from '../kit/models-folder.ts'
import { eventually } from '../kit/wait.ts'

let broker: TestBroker
let pools: PoolModels[] = []
let kept: ModelRecords[] = []

beforeAll(async () => {
  broker = await startTestBroker()
  await broker.provision()
})
afterAll(() => broker.stop())
afterEach(async () => {
  await Promise.all(kept.map((records) => records.leave()))
  await Promise.all(pools.map((pool) => pool.close()))
  kept = []
  pools = []
})

async function open(worker?: string): Promise<PoolModels> {
  const pool = await openPoolModels(await broker.connect(), { pool: 'default', ...(worker && { worker }) })
  pools.push(pool)
  return pool
}

/** Keeps the records of a worker that refuses a model for this reason. */
async function refuse(worker: string, reason: string, warnings: string[]): Promise<void> {
  const error = new PeltonError('model-refused', reason)
  const models = { ...NOTHING, refused: [{ name: 'delay', version: '1', error }] }
  const log = { warn: (_facts: object, text: string) => void warnings.push(text) } as Pick<Logger, 'warn'>
  keep(await open(), { worker, models, log })
}

const NOTHING = { models: [], refused: [], isPending: () => false, onChange: () => () => true }
const SILENT: Pick<Logger, 'warn'> = { warn: () => undefined }

function keep(
  pool: PoolModels,
  given: Partial<ModelRecordsOptions> & Pick<ModelRecordsOptions, 'worker' | 'models'>,
): void {
  const unavailable = new UnavailableModels(() => Promise.resolve())
  kept.push(keepModelRecords({ pool, unavailable, now: Date.now, log: SILENT, ...given }))
}

test('two workers of one name do not race for their place in a record, and are told', async () => {
  const warnings: string[] = []
  const pool = await open()
  const revisions: unknown[] = []
  pool.onChange((model) => {
    if (model === 'delay') revisions.push(pool.find(model)?.refusing)
  })
  await refuse('one', 'left', warnings)
  await refuse('one', 'right', warnings)
  await eventually('both to have written', () => revisions.length >= 2, { seen: () => revisions })
  const before = revisions.length
  for (let index = 0; index < 300; index++)
    await pool.update('other', (record) => ({ ...record, apart: { since: index, inARow: 0 } }))
  // Both write as fast as the broker takes it, or hardly at all.
  expect(revisions.length - before).toBeLessThan(60)
  await eventually('the warning', () => warnings.length > 0)
  expect(warnings[0]).toContain('PELTON_WORKER')
})

test('a worker that cannot open a model for its runs does not count as one that serves it, until it can', async () => {
  const { models } = await openRepository({ folder: latestModels() })
  const [model] = models as [ServedModel, ...ServedModel[]]
  const pool = await open()
  let isShort = true
  const unavailable = new UnavailableModels(async () => {
    if (isShort) throw new PeltonError('model-unavailable', 'no memory')
  })
  keep(await open('two'), { worker: 'two', models: { ...NOTHING, models }, unavailable })
  await eventually('the record', () => pool.servedElsewhere(model.name))
  unavailable.add(model, 'no memory')
  await eventually('the refusal', () => !pool.servedElsewhere(model.name))
  expect(pool.find(model.name)?.refusing.two).toMatchObject({ version: model.version, reason: 'no memory' })
  isShort = false
  await eventually('the record again', () => pool.servedElsewhere(model.name))
  expect(pool.find(model.name)?.refusing).toEqual({})
  unavailable.close()
})

test('one change among many models costs no look at each for each', async () => {
  let reads = 0
  const error = new PeltonError('model-refused', 'no model')
  const refused = Array.from({ length: 300 }, (_, index) => ({
    get name() {
      reads++
      return `m${index}`
    },
    version: '1',
    error,
  }))
  const listeners: (() => void)[] = []
  const onChange = (listener: () => void) => {
    listeners.push(listener)
    return () => true
  }
  const pool = await open('many')
  keep(pool, { worker: 'many', models: { ...NOTHING, refused, onChange } })
  await eventually('all records', () => [...pool.all()].length >= 300)
  reads = 0
  refused.push({ name: 'last', version: '1', error })
  for (const listener of listeners) listener()
  await eventually('the last record', () => pool.find('last'))
  expect(reads).toBeLessThan(10 * 300)
})
