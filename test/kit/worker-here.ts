import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import pino from 'pino'
import { expect, onTestFinished } from 'vitest'
import { openBrokerSide } from '../../services/worker/broker-side.ts'
import { readWorkerSettings } from '../../services/worker/config.ts'
import { Servability } from '../../services/worker/servability.ts'
import { Worker } from '../../services/worker/worker.ts'
import type { WorkerDeps, WorkerOptions } from '../../services/worker/worker-deps.ts'
import { createInferenceThreads } from '../../shared/models/inference-threads.ts'
import { openRepository } from '../../shared/models/repository.ts'
import { openPoolModels } from '../../shared/operations/models/pool-models.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from './broker.ts'
import { modelsFolder } from './models-folder.ts'

/** A message to publish. */
export interface Sent {
  readonly subject: string
  readonly body: Uint8Array
}

/** A broker that holds events, for a worker in this very process; ended with the test. */
export async function openBacklog(
  messages: readonly Sent[],
): Promise<{ readonly broker: TestBroker; readonly connection: NatsConnection }> {
  const broker = await startTestBroker()
  onTestFinished(() => broker.stop())
  await broker.provision()
  const connection = await broker.connect()
  const window = new PublishWindow(connection)
  const sent = messages.map((message) => window.publish({ ...message, headers: [] }))
  expect((await Promise.all(sent)).filter(({ kind }) => kind !== 'stored')).toEqual([])
  window.close()
  return { broker, connection }
}

type Own = Partial<Pick<WorkerDeps, 'threads' | 'turns' | 'gatesOf'>>

/**
 * A worker of one model in this very process, which nobody looks at, and in which nothing hangs.
 *
 * @param own parts of it that differ, made of its threads; `manifest` of the model, in YAML
 */
export async function openWorkerHere(
  { url }: Pick<TestBroker, 'url'>,
  model: string,
  {
    capacityOf,
    own = () => ({}),
    manifest = '',
  }: {
    readonly capacityOf: (maxMessageBytes: number) => WorkerOptions['capacity']
    readonly own?: (threads: WorkerDeps['threads']) => Own
    readonly manifest?: string
  },
): Promise<{ readonly worker: Worker; close(): Promise<void> }> {
  const folder = await modelsFolder([model])
  onTestFinished(() => folder.remove())
  await writeFile(join(folder.path, model, 'manifest.yaml'), manifest)
  const log = pino({ level: 'silent' })
  const broker = await openBrokerSide(readWorkerSettings({ PELTON_NATS_URL: url }), log)
  broker.failed.catch(() => undefined) // that it is closed at the end
  const pool = await openPoolModels(broker.connection, { pool: 'default', worker: 'w1' })
  const threads = createInferenceThreads()
  const models = new Servability(await openRepository({ folder: folder.path }), pool, threads)
  const worker = new Worker(
    {
      broker,
      models,
      threads,
      log,
      leave: () => expect.unreachable('nothing hangs'),
      apart: { run: () => expect.unreachable('nothing hangs') },
      pool,
      ...own(threads),
    },
    {
      name: 'w1',
      pool: 'default',
      capacity: capacityOf(broker.maxMessageBytes),
      parked: { events: 10, bytes: 1024 ** 2 },
      beyond: 'hold',
      retries: { events: 100, bytes: 1024 ** 3 },
      lingerMs: 2,
    },
  )
  return {
    worker,
    async close() {
      await threads.close()
      await pool.close()
      await broker.close()
    },
  }
}
