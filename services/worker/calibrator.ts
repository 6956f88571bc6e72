import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { costOf } from '../../shared/models/batch-cost.ts'
import type { Calibration } from '../../shared/models/calibration.ts'
import { CostWatch } from '../../shared/models/cost-watch.ts'
import type { InferenceThreads, Ran, RunCost } from '../../shared/models/inference-threads.ts'
import { canBeMeasured, measureCost } from '../../shared/models/measure-cost.ts'
import type { ModelRepository, ServedModel } from '../../shared/models/repository.ts'
import {
  beginCalibration,
  type Calibrated,
  dropCalibration,
  endCalibration,
  findCalibration,
  mayCalibrate,
} from '../../shared/operations/models/calibrations.ts'
import type { PoolModels } from '../../shared/operations/models/pool-models.ts'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'

export interface CalibratorOptions {
  readonly models: Pick<ModelRepository, 'models'> & { onChange(listener: () => void): () => void }
  readonly pool: Pick<PoolModels, 'find' | 'update' | 'onChange' | 'workers'>
  readonly threads: Pick<InferenceThreads, 'measure' | 'endMeasuring' | 'onRan' | 'size'>
  /** Name of this worker. */
  readonly worker: string
  /** Name of the processors here. */
  readonly cpu: string
  /** How long this worker has had nothing to do, milliseconds. */
  readonly idleMs: () => number
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  /** Told of a model whose run did not end while it was measured: nothing is measured from then on. */
  readonly onHung: (model: ServedModel) => void
  readonly log: Pick<Logger, 'debug' | 'warn'>
}

/** What is known of what models cost here. */
export interface Calibrator {
  /** By key of the model; undefined while nothing is known. */
  of(key: string): Calibration | undefined
  /** Gives up what is measured now, and says so in the record. May be called twice. */
  close(): Promise<void>
}

/** Nothing is measured unless this worker had nothing to do for so long, and for ten times as long as a run will take. */
const LEAST_IDLE_MS = 100
const IDLE_TIMES = 10
/** Between two looks whether there is something to do, milliseconds. */
const LOOK_MS = 250
/** Before the first model and between two, milliseconds. */
const FIRST_MS = 1_000
const REST_MS = 50
/** Opening a model may take this long beside the time limit of its runs, milliseconds. */
const OPEN_MS = 60_000
/** What was measured is good for this long at least, milliseconds. */
const LEAST_AGE_MS = 3_600_000
/** Two measurements that differ by less have found the same: it is the rows of live runs that are others. */
const SAME = 0.2
/** What an end waits for the broker, milliseconds. */
const CLOSING_MS = 1_000

interface Known {
  readonly calibration: Calibration
  /** When it was made, milliseconds since 1970. */
  readonly since: number
  readonly watch: CostWatch
}

/**
 * Measures what models cost by the rows of a run, one model after the other, while this worker has nothing else to do, and
 * keeps it in the record of the pool. What the record tells of a machine like this one is not measured again.
 */
export function keepCalibrations(options: CalibratorOptions): Calibrator {
  return new Keeper(options)
}

class Keeper implements Calibrator {
  readonly #options: CalibratorOptions
  /** By key of the model. */
  readonly #known = new Map<string, Known>()
  /** Keys of models that are not measured any more by this process: they failed. */
  readonly #failed = new Set<string>()
  readonly #waiting = new Map<string, ServedModel>()
  readonly #ending = new AbortController()
  readonly #stops: readonly (() => void)[]
  #current: ServedModel | undefined
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: CalibratorOptions) {
    this.#options = options
    const { models, pool, threads } = options
    this.#stops = [
      models.onChange(() => this.#lookSoon()),
      pool.onChange((name) => this.#lookAt(name)),
      () => clearTimeout(this.#timer),
    ]
    threads.onRan((run) => this.#ran(run))
    this.#look()
  }

  of(key: string): Calibration | undefined {
    return this.#known.get(key)?.calibration
  }

  async close(): Promise<void> {
    this.#ending.abort()
    for (const stop of this.#stops) stop()
    const current = this.#current
    if (current === undefined) return
    await Promise.race([
      this.#drop(current).catch(() => undefined),
      sleep(CLOSING_MS, undefined, { ref: false }),
    ])
  }

  /** Of thousands of models one after the other becomes ready. */
  #lookSoon(): void {
    this.#timer ??= setTimeout(() => this.#look(), LOOK_MS).unref()
  }

  #look(): void {
    this.#timer = undefined
    const { models } = this.#options.models
    const keys = new Set(models.map(({ key }) => key))
    for (const kept of [this.#known, this.#failed, this.#waiting])
      for (const key of kept.keys()) if (!keys.has(key)) kept.delete(key)
    for (const model of models) this.#consider(model)
    this.#start()
  }

  /** The record of a model has changed, or who is alive. */
  #lookAt(name: string): void {
    for (const model of this.#options.models.models) if (model.name === name) this.#consider(model, true)
    this.#start()
  }

  /** Takes over what the record tells; else the model waits to be measured. */
  #consider(model: ServedModel, isNews = false): void {
    const { key } = model
    const known = this.#known.get(key)
    if ((known !== undefined && !isNews) || key === this.#current?.key || !canBeMeasured(model)) return
    const entry = findCalibration(this.#options.pool.find(model.name) ?? {}, this.#of(model))
    if (entry?.cost !== undefined && entry.since > (known?.since ?? Number.NEGATIVE_INFINITY)) {
      this.#know(key, entry.cost, entry.since)
      this.#waiting.delete(key)
    } else if (known === undefined && entry?.cost === undefined && !this.#failed.has(key))
      this.#waiting.set(key, model)
  }

  #know(key: string, calibration: Calibration, since: number): void {
    const before = this.#known.get(key)
    const isSame = before !== undefined && isAlike(before.calibration, calibration)
    const watch = new CostWatch(calibration, isSame ? before.watch.ratio : 1)
    this.#known.set(key, { calibration, since, watch })
  }

  #ran({ key, rows, runMs }: Ran): void {
    const known = this.#known.get(key)
    if (known === undefined || !known.watch.ran(rows, runMs, performance.now())) return
    const isOfOneSize = known.calibration.timings.length < 2 // it says nothing of others
    if (isOfOneSize || this.#waiting.has(key) || this.#failed.has(key)) return
    if (this.#options.now() - known.since < LEAST_AGE_MS) return
    const model = this.#options.models.models.find((one) => one.key === key)
    if (model === undefined) return
    this.#waiting.set(key, model)
    this.#start()
  }

  #start(): void {
    if (this.#waiting.size === 0 || this.#running !== undefined || this.#ending.signal.aborted) return
    this.#running = this.#measureAll().finally(() => {
      this.#running = undefined
      this.#start()
    })
  }

  async #measureAll(): Promise<void> {
    await this.#pause(FIRST_MS)
    for (const [key, model] of this.#waiting) {
      if (!(await this.#isIdle(0))) return
      this.#waiting.delete(key)
      if (!this.#mayRun(model)) continue
      try {
        this.#current = model
        await this.#measure(model)
      } catch (thrown) {
        if (this.#ending.signal.aborted) return
        // Of the broker nothing follows for the model.
        if (!(thrown instanceof PeltonError && thrown.code === 'broker-unavailable')) this.#failed.add(key)
        this.#options.log.warn(
          { model: model.name, version: model.version, err: thrown },
          'a model is not measured',
        )
      } finally {
        this.#current = undefined
      }
      await this.#pause(REST_MS)
    }
  }

  async #measure(model: ServedModel): Promise<void> {
    const { worker, now, pool, threads, log } = this.#options
    const begun = await this.#update(model, (record, of) =>
      mayCalibrate(record, of, worker, pool.workers) ? beginCalibration(record, of, worker, now()) : record,
    )
    if (findCalibration(begun, this.#of(model))?.begun?.by !== worker) {
      // Another one measures it, or nobody may. What is known is used until there is something else.
      const known = this.#known.get(model.key)
      if (known !== undefined) this.#know(model.key, known.calibration, known.since)
      return
    }
    const cost = await measureCost(model, {
      run: (inputs, expectedMs) => this.#run(model, inputs, expectedMs),
    }).finally(() => threads.endMeasuring())
    if (cost === undefined) return void (await this.#drop(model))
    const since = now()
    this.#know(model.key, cost, since)
    await this.#update(model, (record, of) => endCalibration(record, of, cost, since))
    const { name, version } = model
    log.debug({ model: name, version, ...cost }, 'measured')
  }

  /** A model that is served, and not one that has shown that its runs may not end. */
  #mayRun({ key, name }: ServedModel): boolean {
    const { models, pool } = this.#options
    return models.models.some((one) => one.key === key) && pool.find(name)?.apart === undefined
  }

  /** One step: a run, as soon as nobody else has something to do. */
  async #run(
    model: ServedModel,
    inputs: readonly Tensor[],
    expectedMs: number,
  ): Promise<RunCost | undefined> {
    const { threads } = this.#options
    while ((await this.#isIdle(expectedMs)) && this.#mayRun(model)) {
      const cost = await this.#inTime(model, threads.measure(model, inputs, model.manifest.outputs))
      if (cost !== undefined) return cost
      await this.#pause(LOOK_MS)
    }
    return undefined
  }

  async #inTime(model: ServedModel, run: Promise<RunCost | undefined>): Promise<RunCost | undefined> {
    const limitMs = model.manifest.limits.timeoutMs + OPEN_MS
    const over = new AbortController()
    const late = sleep(limitMs, 'late' as const, { ref: false, signal: over.signal })
    late.catch(() => undefined) // it ended in time
    const cost = await Promise.race([run, late]).finally(() => over.abort())
    if (cost !== 'late') return cost
    this.#ending.abort()
    this.#options.onHung(model)
    throw new PeltonError('timed-out', `measuring it did not end within ${limitMs} ms`)
  }

  /** Resolves once this worker has had nothing to do for long enough; to false where nothing is measured any more. */
  async #isIdle(expectedMs: number): Promise<boolean> {
    const longMs = Math.max(LEAST_IDLE_MS, IDLE_TIMES * expectedMs)
    while (!this.#ending.signal.aborted) {
      const restMs = longMs - this.#options.idleMs()
      if (restMs <= 0) return true
      await this.#pause(Math.max(restMs, LOOK_MS))
    }
    return false
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { ref: false, signal: this.#ending.signal }).catch(() => undefined)
  }

  #drop(model: ServedModel): ReturnType<PoolModels['update']> {
    return this.#update(model, (record, of) => dropCalibration(record, of, this.#options.worker))
  }

  #update(
    model: ServedModel,
    change: (
      record: Parameters<typeof beginCalibration>[0],
      of: Calibrated,
    ) => ReturnType<typeof beginCalibration>,
  ): ReturnType<PoolModels['update']> {
    return this.#options.pool.update(model.name, (record) => change(record, this.#of(model)))
  }

  #of({ digest }: ServedModel): Calibrated {
    const { cpu, threads } = this.#options
    return { digest, cpu, threads: threads.size }
  }
}

/** Whether two measurements found the same for a full batch. */
function isAlike(one: Calibration, other: Calibration): boolean {
  const rows = other.batchRows
  return Math.abs(costOf(one, rows) - costOf(other, rows)) <= SAME * costOf(other, rows)
}
