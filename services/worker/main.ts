import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import type { Logger } from 'pino'
import { createInferenceThreads } from '../../shared/models/inference-threads.ts'
import { openRepository } from '../../shared/models/repository.ts'
import { EXIT_CODES, runService, type Service, type State } from '../../shared/runtime/lifecycle.ts'
import { createLogger } from '../../shared/runtime/logging.ts'
import { startTelemetry, type Telemetry } from '../../shared/runtime/telemetry.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { openBrokerSide } from './broker-side.ts'
import { readWorkerSettings, type WorkerSettings } from './config.ts'
import { openOutside, type WorkerOutside } from './outside.ts'
import { Worker } from './worker.ts'

/**
 * V8 lets the heap grow to a multiple of what is alive, a multiple that varies from one collection to the next: the
 * longer a worker drains a backlog, the higher the highest peak. A fixed multiple keeps memory flat, at the same rate
 * (docs/benchmarks.md).
 */
const HEAP_GROWING_PERCENT = 70

async function main(): Promise<number> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)
  let settings: WorkerSettings
  try {
    settings = readWorkerSettings(process.env)
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof PeltonError ? thrown.message : String(thrown)}\n`)
    return EXIT_CODES.usage
  }
  const log = createLogger('worker', settings.PELTON_LOG_LEVEL).child({ worker: settings.PELTON_WORKER })
  // Without its supervisor a worker drains; what it would tell it, and log, has no reader any more.
  process.on('disconnect', () => {
    log.level = 'silent'
  })
  const telemetry = await startTelemetry({
    serviceName: 'pelton-worker',
    instance: settings.PELTON_WORKER,
    env: process.env,
    hasHttp: settings.PELTON_HTTP_PORT !== undefined,
    log,
  })
  return serve(settings, log, telemetry).finally(() => telemetry.close())
}

/** Runs the worker. Its outside is open before the broker is asked and until everything is settled. */
async function serve(settings: WorkerSettings, log: Logger, telemetry: Telemetry): Promise<number> {
  const outside = await openOutside(settings, log, telemetry).catch((thrown: PeltonError) => thrown)
  if (outside instanceof Error) {
    log.fatal({ err: outside }, 'failed')
    return EXIT_CODES.usage
  }
  const onState = (state: State): void => {
    outside.state = state
    if (process.connected) process.send?.({ kind: 'state', state }, undefined, undefined, () => undefined)
  }
  const options = { log, graceMs: settings.PELTON_GRACE_MS, onState }
  return runService(() => start(settings, log, outside), options).finally(() => outside.close())
}

/** Opens the broker, the models and the threads, and composes the worker. */
async function start(settings: WorkerSettings, log: Logger, outside: WorkerOutside): Promise<Service> {
  const broker = await openBrokerSide(settings, log)
  const models = await openRepository({ folder: settings.PELTON_MODELS, note: (text) => log.info(text) })
  for (const { name, version, error } of models.refused) log.error({ model: name, version }, error.message)
  const threads = createInferenceThreads({
    threads: settings.PELTON_THREADS ?? Math.max(1, availableParallelism() - 1),
  })
  const worker = new Worker(
    {
      broker,
      models,
      threads,
      log,
      die: () => void die(outside),
      observers: outside.observers(broker, models),
    },
    {
      name: settings.PELTON_WORKER,
      pool: settings.PELTON_POOL,
      capacity: {
        rows: settings.PELTON_HELD_ROWS,
        bytes: Math.max(settings.PELTON_HELD_BYTES, 8 * broker.maxMessageBytes),
      },
      lingerMs: settings.PELTON_LINGER_MS,
    },
  )
  outside.show(worker, broker, models)
  const served = models.models.map(({ key }) => key)
  log.info({ models: served, pool: settings.PELTON_POOL, threads: threads.size }, 'serving')
  return {
    run: () => Promise.race([worker.run(), broker.failed]),
    stop: async () => {
      await worker.stop()
      await threads.close()
      await broker.close()
      log.info(worker.counts, 'drained')
    },
    abort: () => worker.abort(),
  }
}

/** How long what a hung worker has measured may take to be sent, milliseconds. */
const LAST_WORDS_MS = 500

async function die(outside: WorkerOutside): Promise<void> {
  await Promise.race([outside.flush(), sleep(LAST_WORDS_MS)])
  process.kill(process.pid, 'SIGKILL')
}

// A native run that hangs would keep the process alive: it ends when its lifecycle has ended.
process.exit(await main())
