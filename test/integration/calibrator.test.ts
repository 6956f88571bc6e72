import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Calibrator, keepCalibrations } from '../../services/worker/calibrator.ts'
import { createInferenceThreads, type InferenceThreads } from '../../shared/models/inference-threads.ts'
import { openRepository, type ServedModel } from '../../shared/models/repository.ts'
import { openPoolModels, type PoolModels } from '../../shared/operations/models/pool-models.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { eventually } from '../kit/wait.ts'

let broker: TestBroker
let pool: PoolModels
let folder: Awaited<ReturnType<typeof modelsFolder>>
let threads: InferenceThreads
let calibrator: Calibrator
/** What the calibrator asked of the threads, in order, without repetitions. */
let asked: string[]
/** What is served, in the order it is measured. */
let served: readonly ServedModel[]
let idleMs = 0

beforeEach(async () => {
  broker = await startTestBroker()
  await broker.provision()
  pool = await openPoolModels(await broker.connect(), { pool: 'default', worker: 'w1' })
  folder = await modelsFolder(['identity-fp32', 'linear'])
  threads = createInferenceThreads({ threads: 2 })
  served = [...(await openRepository({ folder: folder.path })).models].sort((one, other) =>
    other.name.localeCompare(one.name),
  )
  asked = []
  idleMs = 0
})
afterEach(async () => {
  await calibrator.close()
  await threads.close()
  await pool.close()
  await broker.stop()
  await folder.remove()
})

/** @param fails models of which a run fails */
function begin(fails: readonly string[] = []): void {
  const ask = (what: string): void => {
    if (asked.at(-1) !== what) asked.push(what)
  }
  calibrator = keepCalibrations({
    models: {
      get models() {
        return served
      },
      onChange: () => () => undefined,
    },
    pool,
    threads: {
      size: threads.size,
      onRan: (listener) => threads.onRan(listener),
      measure: async (model, ...rest) => {
        ask(model.key)
        const cost = await threads.measure(model, ...rest)
        if (fails.includes(model.key)) throw new PeltonError('inference-failed', 'the thread ended')
        return cost
      },
      endMeasuring: () => {
        ask('end')
        return threads.endMeasuring()
      },
    },
    worker: 'w1',
    cpu: 'c',
    idleMs: () => idleMs,
    now: Date.now,
    onHung: () => expect.unreachable('nothing hangs'),
    log: pino({ level: 'silent' }),
  })
}

const measured = (key: string) =>
  eventually(`${key} to be measured`, () => calibrator.of(key), { seen: () => asked })

test('what is served no more when its turn comes is not run, and the next one is', async () => {
  const [, identity] = served as [ServedModel, ServedModel]
  begin()
  served = [identity]
  idleMs = Number.POSITIVE_INFINITY
  await measured(identity.key)
  expect(asked).toEqual([identity.key, 'end'])
})

test('what was opened to be measured is closed where that fails, too', async () => {
  const [linear, identity] = served as [ServedModel, ServedModel]
  idleMs = Number.POSITIVE_INFINITY
  begin([linear.key])
  await measured(identity.key)
  expect(asked).toEqual([linear.key, 'end', identity.key, 'end'])
})

test('what runs apart is not measured before it is readmitted', async () => {
  const [linear, identity] = served as [ServedModel, ServedModel]
  await pool.update(linear.name, (record) => ({ ...record, apart: { since: 1, inARow: 0 } }))
  await eventually('the record to be seen', () => pool.find(linear.name)?.apart)
  idleMs = Number.POSITIVE_INFINITY
  begin()
  await measured(identity.key)
  expect(asked).toEqual([identity.key, 'end'])
  await pool.update(linear.name, ({ apart: _apart, ...record }) => record)
  await measured(linear.key)
})
