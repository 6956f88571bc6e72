import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { keepModelRecords, type ModelRecords } from '../../services/worker/model-records.ts'
import { openPoolModels, type PoolModels } from '../../shared/operations/models/pool-models.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
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

async function open(): Promise<PoolModels> {
  const pool = await openPoolModels(await broker.connect(), { pool: 'default' })
  pools.push(pool)
  return pool
}

/** Keeps the records of a worker that refuses a model for this reason. */
async function keep(worker: string, reason: string, warnings: string[] = []): Promise<PoolModels> {
  const pool = await open()
  const refused = [{ name: 'delay', version: '1', error: new PeltonError('model-refused', reason) }]
  const models = { models: [], refused, isPending: () => false, onChange: () => () => undefined }
  const log = { warn: (_facts: object, text: string) => void warnings.push(text) }
  kept.push(keepModelRecords({ pool, worker, models, now: Date.now, log: log as never }))
  return pool
}

test('two workers of one name do not race for their place in a record, and are told', async () => {
  const warnings: string[] = []
  const pool = await open()
  const revisions: unknown[] = []
  pool.onChange((model) => {
    if (model === 'delay') revisions.push(pool.find(model)?.refusing)
  })
  await keep('one', 'left', warnings)
  await keep('one', 'right', warnings)
  await eventually('both to have written', () => revisions.length >= 2, { seen: () => revisions })
  const before = revisions.length
  for (let index = 0; index < 300; index++)
    await pool.update('other', (record) => ({ ...record, apart: { since: index, inARow: 0 } }))
  // Both write as fast as the broker takes it, or hardly at all.
  expect(revisions.length - before).toBeLessThan(60)
  await eventually('the warning', () => warnings.length > 0)
  expect(warnings[0]).toContain('PELTON_WORKER')
})
