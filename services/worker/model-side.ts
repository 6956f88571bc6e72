import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type GrowingRepository, growRepository } from '../../shared/models/growing-repository.ts'
import { openPoolModels, type PoolModels } from '../../shared/operations/models/pool-models.ts'
import type { BrokerSide } from './broker-side.ts'
import { folderOptions, type WorkerSettings } from './config.ts'
import type { UnavailableModels } from './infer/unavailable.ts'
import { keepModelRecords, type ModelRecords } from './model-records.ts'

/** How long a worker that starts waits for the pool to know what it serves, milliseconds. */
const RECORDED_MS = 5_000

/** Between two lines about what is served besides, milliseconds. */
const TOLD_EVERY_MS = 1_000

/** What a worker has of its models, and what its pool knows of them. */
export interface ModelSide {
  readonly models: GrowingRepository
  readonly known: PoolModels
  /**
   * From here on the pool is told what this worker serves and refuses, and so is its log. Resolves once the pool knows, or
   * does not answer.
   *
   * @param facts for the log
   */
  record(unavailable: UnavailableModels, facts: object): Promise<void>
  /** Tells the pool that nothing is served here any more. */
  leave(): Promise<void>
  /** @param options.stays whether its name stays alive in the pool: that of a successor, which is there */
  close(options: { readonly stays: boolean }): Promise<void>
}

/**
 * Opens the records of the pool and the models folder: its models, and those that the pool has served before, become ready
 * one by one.
 *
 * @throws PeltonError `invalid-configuration`, `not-provisioned` or `broker-unavailable`, saying what to do
 */
export async function openModelSide(
  settings: WorkerSettings,
  { connection, now }: Pick<BrokerSide, 'connection' | 'now'>,
  log: Logger,
): Promise<ModelSide> {
  const { PELTON_POOL: pool, PELTON_WORKER: worker } = settings
  const known = await openPoolModels(connection, { pool, worker, onProblem: (text) => log.warn(text) })
  const models = await openModels(settings, log, known)
  known.onRetired((model) => models.forget(model))
  let records: ModelRecords | undefined
  return {
    models,
    known,
    async record(unavailable, facts) {
      records = keepModelRecords({ pool: known, worker, models, unavailable, now, log })
      logServed(models, log, facts)
      await Promise.race([records.written, sleep(RECORDED_MS, undefined, { ref: false })])
    },
    leave: async () => records?.leave(),
    async close({ stays }) {
      await models.close()
      if (!stays) await known.close()
    },
  }
}

function openModels(settings: WorkerSettings, log: Logger, known: PoolModels): Promise<GrowingRepository> {
  const versions = [...known.all()].flatMap(({ model: name, versions }) =>
    Object.keys(versions).map((version) => ({ name, version })),
  )
  const { PELTON_INSPECTORS: inspectors } = settings
  return growRepository({
    folder: settings.PELTON_MODELS,
    ...folderOptions(settings),
    ...(inspectors !== undefined && { inspectors }),
    known: versions,
    // What nobody serves now may be replaced: all workers were stopped for it.
    expectedDigest: (name, version) =>
      known.servedElsewhere(name, version) ? known.find(name)?.versions[version]?.digest : undefined,
    note: (text) => log.info(text),
    onRefused: ({ name: model, version, error }) => log.error({ model, version }, error.message),
  })
}

/** Logs what is served now, and from then on what is served besides: of many that become ready one by one a line a second. */
function logServed(models: GrowingRepository, log: Logger, facts: object): void {
  const told = new Set<string>()
  let isDue = false
  const tell = (): void => {
    isDue = false
    const added = models.models.map(({ key }) => key).filter((key) => !told.has(key))
    for (const key of added) told.add(key)
    log.info({ models: added, served: models.models.length, ...facts }, 'serving')
  }
  models.onChange(() => {
    if (isDue || models.models.every(({ key }) => told.has(key))) return
    isDue = true
    setTimeout(tell, TOLD_EVERY_MS).unref()
  })
  tell()
}
