import { availableParallelism } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import type { Logger } from 'pino'
import { EXIT_CODES, runService, type Service } from '../../shared/runtime/lifecycle.ts'
import { createLogger } from '../../shared/runtime/logging.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { openBrokerSide } from './broker-side.ts'
import { readWorkerSettings, type WorkerSettings } from './config.ts'
import { createInferenceThreads } from './models/inference-threads.ts'
import { openRepository } from './models/repository.ts'
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
  const onState = (state: string): void => {
    if (process.connected) process.send?.({ kind: 'state', state }, undefined, undefined, () => undefined)
  }
  return runService(() => start(settings, log), { log, graceMs: settings.PELTON_GRACE_MS, onState })
}

/** Opens the broker, the models and the threads, and composes the worker. */
async function start(settings: WorkerSettings, log: Logger): Promise<Service> {
  const broker = await openBrokerSide(settings, log)
  const models = await openRepository({ folder: settings.PELTON_MODELS, note: (text) => log.info(text) })
  for (const { name, version, error } of models.refused) log.error({ model: name, version }, error.message)
  const threads = createInferenceThreads({
    threads: settings.PELTON_THREADS ?? Math.max(1, availableParallelism() - 1),
  })
  const worker = new Worker(
    { broker, models, threads, log, die: () => process.kill(process.pid, 'SIGKILL') },
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

// A native run that hangs would keep the process alive: it ends when its lifecycle has ended.
process.exit(await main())
