import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import type { Logger } from 'pino'
import { createInferenceThreads, type InferenceThreads } from '../../shared/models/inference-threads.ts'
import { openRepository } from '../../shared/models/repository.ts'
import { endProcess } from '../../shared/runtime/end-process.ts'
import type { Service } from '../../shared/runtime/lifecycle.ts'
import { serve } from '../../shared/runtime/serve.ts'
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

/** Once they are started: the end of this process has to wait for them, or to give them up. */
let threads: InferenceThreads | undefined

/** Opens the broker, the models and the threads, and composes the worker. */
async function start(settings: WorkerSettings, log: Logger, outside: WorkerOutside): Promise<Service> {
  const broker = await openBrokerSide(settings, log)
  const models = await openRepository({ folder: settings.PELTON_MODELS, note: (text) => log.info(text) })
  for (const { name, version, error } of models.refused) log.error({ model: name, version }, error.message)
  const started = createInferenceThreads({
    threads: settings.PELTON_THREADS ?? Math.max(1, availableParallelism() - 1),
  })
  threads = started
  const worker = new Worker(
    {
      broker,
      models,
      threads: started,
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
  log.info({ models: served, pool: settings.PELTON_POOL, threads: started.size }, 'serving')
  return {
    run: () => Promise.race([worker.run(), broker.failed]),
    stop: async () => {
      await worker.stop()
      await started.close()
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

setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)
const code = await serve({
  readSettings: readWorkerSettings,
  identify: (settings) => ({
    kind: 'worker',
    name: settings.PELTON_WORKER,
    logLevel: settings.PELTON_LOG_LEVEL,
    graceMs: settings.PELTON_GRACE_MS,
    hasHttp: settings.PELTON_HTTP_PORT !== undefined,
  }),
  open: openOutside,
  start,
})
await endProcess(code, async () => threads?.close())
