import { availableParallelism } from 'node:os'
import { brokerOptions } from '../../shared/runtime/config.ts'
import { EXIT_CODES, runService, type Service } from '../../shared/runtime/lifecycle.ts'
import { createLogger } from '../../shared/runtime/logging.ts'
import { LANES } from '../../shared/sdk/contract/subjects.ts'
import {
  COPY_HEADROOM_BYTES,
  dueConsumer,
  featureConsumer,
  STREAMS,
} from '../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { createBrokerClock } from '../../shared/sdk/jetstream/broker-clock.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { requireConsumer, requireStreams } from '../../shared/sdk/jetstream/provision.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { readWorkerSettings, type WorkerSettings } from './config.ts'
import { createInferenceThreads } from './models/inference-threads.ts'
import { openRepository } from './models/repository.ts'
import { Worker } from './worker.ts'

/** Streams a worker reads or writes. */
const NEEDED = [STREAMS.features, STREAMS.retries, STREAMS.results, STREAMS.deadLetters, STREAMS.ledger]

async function main(): Promise<number> {
  let settings: WorkerSettings
  try {
    settings = readWorkerSettings(process.env)
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof PeltonError ? thrown.message : String(thrown)}\n`)
    return EXIT_CODES.usage
  }
  const log = createLogger('worker', settings.PELTON_LOG_LEVEL).child({ worker: settings.PELTON_WORKER })
  const onState = (state: string): void => void process.send?.({ kind: 'state', state })
  return runService(() => start(settings, log), { log, graceMs: settings.PELTON_GRACE_MS, onState })
}

/** Connects, checks that the broker is provisioned, reads the models, and composes the worker. */
async function start(settings: WorkerSettings, log: ReturnType<typeof createLogger>): Promise<Service> {
  const connection = await connectBroker(brokerOptions(settings, `pelton worker ${settings.PELTON_WORKER}`))
  const streams = await requireStreams(connection, NEEDED)
  const ackWaitMs = await shortestAckWait(connection, settings.PELTON_POOL)
  const clock = await createBrokerClock(connection, STREAMS.features)
  const models = await openRepository({ folder: settings.PELTON_MODELS, note: (text) => log.info(text) })
  for (const { name, version, error } of models.refused) log.error({ model: name, version }, error.message)
  const threads = createInferenceThreads({
    threads: settings.PELTON_THREADS ?? Math.max(1, availableParallelism() - 1),
  })
  const window = new PublishWindow(connection)
  const maxMessageBytes = (connection.info?.max_payload ?? 1024 ** 2) - COPY_HEADROOM_BYTES
  const epochs = new Map(
    [STREAMS.features, STREAMS.retries].map((name) => [name, streams.get(name)?.created ?? '']),
  )
  const worker = new Worker(
    { connection, window, models, threads, log, now: clock.now, epochs },
    {
      name: settings.PELTON_WORKER,
      pool: settings.PELTON_POOL,
      capacity: {
        rows: settings.PELTON_HELD_ROWS,
        bytes: Math.max(settings.PELTON_HELD_BYTES, 8 * maxMessageBytes),
      },
      lingerMs: settings.PELTON_LINGER_MS,
      ackWaitMs,
      maxMessageBytes,
    },
  )
  log.info(
    { models: models.models.map(({ key }) => key), pool: settings.PELTON_POOL, threads: threads.size },
    'serving',
  )
  return {
    run: () => worker.run(),
    stop: async () => {
      await worker.stop()
      await threads.close()
      window.close()
      clock.close()
      await connection.drain()
      log.info(worker.counts, 'drained')
    },
    abort: () => worker.abort(),
  }
}

async function shortestAckWait(
  connection: Parameters<typeof requireConsumer>[0],
  pool: string,
): Promise<number> {
  const consumers = LANES.flatMap((lane) => [featureConsumer(pool, lane), dueConsumer(pool, lane)])
  const checked = await Promise.all(
    consumers.map(({ stream, durable_name }) => requireConsumer(connection, stream, durable_name)),
  )
  return Math.min(...checked.map(({ ackWaitMs }) => ackWaitMs))
}

// A native run that hangs would keep the process alive: it ends when its lifecycle has ended.
process.exit(await main())
