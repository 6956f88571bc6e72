import pino from 'pino'
import { expect, it, onTestFinished } from 'vitest'
import { createInferenceThreads } from '../../shared/models/inference-threads.ts'
import { openRepository } from '../../shared/models/repository.ts'
import { openPoolModels } from '../../shared/operations/models/pool-models.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker } from '../../test/kit/broker.ts'
import { floats } from '../../test/kit/deliveries.ts'
import { modelsFolder } from '../../test/kit/models-folder.ts'
import { openBrokerSide } from './broker-side.ts'
import { readWorkerSettings } from './config.ts'
import { Servability } from './servability.ts'
import { Worker } from './worker.ts'

const MODEL = 'identity-fp32'
const EVENTS = 300
const HELD_ROWS = 50

it('a worker that nobody looks at knows the backlog of its pool, and drains it', async () => {
  const broker = await startTestBroker()
  onTestFinished(() => broker.stop())
  await broker.provision()
  const folder = await modelsFolder([MODEL])
  onTestFinished(() => folder.remove())
  const window = new PublishWindow(await broker.connect())
  const subject = subjects.feature({ pool: 'default', model: MODEL, lane: 'high' })
  const body = Buffer.from(JSON.stringify({ inputs: [floats('x', [[1, 2]])] }))
  const sent = Array.from({ length: EVENTS }, () => window.publish({ subject, headers: [], body }))
  expect(new Set((await Promise.all(sent)).map(({ kind }) => kind))).toEqual(new Set(['stored']))
  window.close()

  const log = pino({ level: 'silent' })
  const side = await openBrokerSide(readWorkerSettings({ PELTON_NATS_URL: broker.url }), log)
  side.failed.catch(() => undefined) // that it is closed at the end
  const pool = await openPoolModels(side.connection, { pool: 'default', worker: 'w1' })
  const threads = createInferenceThreads()
  let open = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const worker = new Worker(
    {
      broker: side,
      models: new Servability(
        await openRepository({ folder: folder.path }),
        {
          find: () => undefined,
          all: () => [],
          servedElsewhere: () => false,
          workers: [],
        },
        threads,
      ),
      threads: Object.create(threads, {
        run: { value: (...run: Parameters<typeof threads.run>) => gate.then(() => threads.run(...run)) },
      }),
      log,
      leave: () => expect.unreachable('nothing hangs'),
      apart: { run: () => expect.unreachable('nothing hangs') },
      pool,
    },
    {
      name: 'w1',
      pool: 'default',
      capacity: { rows: HELD_ROWS, bytes: 8 * side.maxMessageBytes },
      parked: { events: 10, bytes: 1024 ** 2 },
      lingerMs: 2,
    },
  )
  expect(worker.backlog.read(performance.now())).toEqual([])
  const running = worker.run()

  // Nothing runs yet: it holds what it has room for, and sees the rest wait.
  const high = () => worker.backlog.read(performance.now()).find(({ lane }) => lane === 'high')
  await expect.poll(() => (high()?.rows ?? 0) + worker.load.events, { timeout: 30_000 }).toBe(EVENTS)
  await expect.poll(() => worker.load.rows, { timeout: 30_000 }).toBe(HELD_ROWS)
  expect(high()?.rows).toBeGreaterThanOrEqual(EVENTS - HELD_ROWS)

  open()
  await expect.poll(() => worker.counts.predicted, { timeout: 60_000 }).toBe(EVENTS)
  await expect.poll(high, { timeout: 30_000 }).toEqual({ lane: 'high', rows: 0, seconds: 0 })
  await worker.stop()
  await running
  await threads.close()
  await pool.close()
  await side.close()
  expect(worker.load).toMatchObject({ events: 0, rows: 0, bytes: 0 })
})
