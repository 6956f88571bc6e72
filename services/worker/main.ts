import { availableParallelism, cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import type { Logger } from 'pino'
import { createApartRunner } from '../../shared/models/apart-runner.ts'
import { createInferenceThreads, type InferenceThreads } from '../../shared/models/inference-threads.ts'
import type { ServedModel } from '../../shared/models/repository.ts'
import { endProcess } from '../../shared/runtime/end-process.ts'
import type { Service } from '../../shared/runtime/lifecycle.ts'
import { askToBeReplaced } from '../../shared/runtime/replacement.ts'
import { serve } from '../../shared/runtime/serve.ts'
import { waitingFor } from '../../shared/runtime/start-waiting.ts'
import { orAborted } from '../../shared/sdk/jetstream/election.ts'
import { type BrokerSide, openBrokerSide } from './broker-side.ts'
import { type Calibrator, keepCalibrations } from './calibrator.ts'
import { readWorkerSettings, type WorkerSettings } from './config.ts'
import { timedOut } from './infer/watchdog.ts'
import type { Capacity } from './intake/room.ts'
import { type ModelSide, openModelSide } from './model-side.ts'
import { openOutside, type WorkerOutside } from './outside.ts'
import { Servability } from './servability.ts'
import { Worker } from './worker.ts'

/**
 * V8 lets the heap grow to a multiple of what is alive, a multiple that varies from one collection to the next: the
 * longer a worker drains a backlog, the higher the highest peak. A fixed multiple keeps memory flat, at the same rate
 * (docs/benchmarks.md).
 */
const HEAP_GROWING_PERCENT = 70

/** One slot is kept free of what may take long: with a single thread nothing could be. */
const LEAST_THREADS = 2

/** How long a worker that starts waits for versions to be looked at once one of them is served, milliseconds. */
const FIRST_LOOK_MS = 5_000

/** Once they are started: the end of this process has to wait for them, or to give them up. */
let threads: InferenceThreads | undefined

/** Opens the broker, the models and the threads, and composes the worker. */
async function start(
  settings: WorkerSettings,
  log: Logger,
  outside: WorkerOutside,
  stopping: AbortSignal,
): Promise<Service> {
  const broker = await openBrokerSide(settings, log, waitingFor(log, stopping))
  const side = await orAborted(openModelSide(settings, broker, log), stopping)
  const { models, known: pool } = side
  outside.inspecting(models)
  // What is not looked at by then becomes ready later, one by one: its events are handed on or wait.
  await Promise.race([models.settled, sleep(FIRST_LOOK_MS, undefined, { ref: false })])
  await models.usable
  const started = await startThreads(settings, models.models)
  const apart = createApartRunner()
  const servability = new Servability(models, pool, started)
  const calibrator = startCalibrator({ settings, broker, side, threads: started, outside, log }, () => worker)
  const worker = new Worker(
    {
      broker,
      models: servability,
      threads: started,
      apart,
      calibrations: calibrator,
      pool,
      log,
      leave: (because) => void leave(because, outside),
      observers: outside.observers(broker, servability),
    },
    {
      name: settings.PELTON_WORKER,
      pool: settings.PELTON_POOL,
      capacity: capacityOf(settings, broker),
      parked: { events: settings.PELTON_PARKED_EVENTS, bytes: settings.PELTON_PARKED_BYTES },
      beyond: settings.PELTON_BREAKER_BEYOND,
      retries: { events: settings.PELTON_RETRIES_EVENTS, bytes: settings.PELTON_RETRIES_BYTES },
      lingerMs: settings.PELTON_LINGER_MS,
    },
  )
  outside.show(worker, broker, servability, pool)
  // Before the first event: whoever gets one that this worker leaves behind knows its model.
  await side.record(servability.unavailable, { pool: settings.PELTON_POOL, threads: started.size })
  return {
    run: () => Promise.race([worker.run(), broker.failed]),
    stop: async () => {
      // Others hear first that nothing is served here any more; not of a successor of the same name, which is there.
      await Promise.all([started.isStuck || side.leave(), calibrator.close(), worker.stop()])
      await started.close()
      await apart.close()
      await side.close({ stays: started.isStuck })
      await broker.close()
      log.info(worker.counts, 'drained')
    },
    abort: () => worker.abort(),
  }
}

/** Starts the threads, and opens models in them. */
async function startThreads(
  { PELTON_THREADS: asked }: WorkerSettings,
  models: readonly ServedModel[],
): Promise<InferenceThreads> {
  threads = createInferenceThreads({ threads: asked ?? Math.max(LEAST_THREADS, availableParallelism() - 1) })
  await warmUp(threads, models)
  return threads
}

/** What is opened before the first event: sizes of model files together, bytes, and how long it may take, milliseconds. */
const WARM_BYTES = 256 * 1024 ** 2
const WARM_MODELS = 16
const WARM_MS = 20_000

/** Opens models in every thread ahead: the first events of a worker that takes over from another wait for no opening. */
async function warmUp(
  threads: Pick<InferenceThreads, 'load'>,
  models: readonly ServedModel[],
): Promise<void> {
  let bytes = 0
  const few = models.slice(0, WARM_MODELS).filter(({ sizeBytes }) => {
    bytes += sizeBytes
    return bytes <= WARM_BYTES
  })
  // What cannot be opened is told where it is run.
  await Promise.race([
    Promise.allSettled(few.map((model) => threads.load(model))),
    sleep(WARM_MS, undefined, { ref: false }),
  ])
}

function capacityOf(settings: WorkerSettings, { maxMessageBytes }: BrokerSide): Capacity {
  const { PELTON_HELD_ROWS: rows, PELTON_HELD_BYTES: bytes } = settings
  return { rows, bytes: Math.max(bytes, 8 * maxMessageBytes) }
}

interface CalibratorParts {
  readonly settings: WorkerSettings
  readonly broker: BrokerSide
  readonly side: ModelSide
  readonly threads: InferenceThreads
  readonly outside: WorkerOutside
  readonly log: Logger
}

/** Measures models from when the worker has nothing to do. */
function startCalibrator(parts: CalibratorParts, worker: () => Worker): Calibrator {
  const { settings, broker, side, threads, outside, log } = parts
  return keepCalibrations({
    models: side.models,
    pool: side.known,
    threads,
    worker: settings.PELTON_WORKER,
    cpu: cpus()[0]?.model.trim() || 'unknown',
    idleMs: () => (outside.state === 'ready' ? worker().idleMs : 0),
    now: broker.now,
    onHung: (model) => giveUp(model, threads, outside),
    log,
  })
}

/** A run that was only measured does not end: its thread is given up, and this process is replaced. */
function giveUp(model: ServedModel, started: InferenceThreads, outside: WorkerOutside): void {
  started.forsake(model.key, model.manifest.limits.timeoutMs, timedOut(model))
  void leave(`a run of model ${model.name} does not end`, outside)
}

let isLeaving = false

/** Has this process replaced, once. */
async function leave(because: string, outside: WorkerOutside): Promise<void> {
  if (isLeaving) return
  isLeaving = true
  await askToBeReplaced({
    because,
    // Its successor has the same port.
    makeRoom: () => outside.close(),
    isStopping: () => outside.state !== 'ready',
  })
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
await endProcess(code, async () => {
  await threads?.close()
  return threads?.isStuck !== true
})
