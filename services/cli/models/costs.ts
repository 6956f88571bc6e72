import { setTimeout as sleep } from 'node:timers/promises'
import type { ServedModel } from '../../../shared/models/repository.ts'
import type {
  RecordedAdmission,
  RecordedCalibration,
  RecordedCost,
} from '../../../shared/operations/models/model-record.ts'
import { openPoolModels } from '../../../shared/operations/models/pool-models.ts'
import { namesOfEnv } from '../../../shared/runtime/names-of-env.ts'
import { namedError } from '../../../shared/sdk/contract/named-error.ts'
import { toPeltonError } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'

/** What a pool knows of models; nothing where that is not known. */
export interface KnownOfPool {
  /** What workers measured of a version, the newest first. */
  costs(model: Pick<ServedModel, 'name' | 'digest'>): readonly KnownCost[]
  /** What an operator said doors are to do with its events. */
  admission(model: Pick<ServedModel, 'name'>): RecordedAdmission | undefined
}

/** What a version costs on one kind of machine. */
export interface KnownCost extends Omit<RecordedCost, 'timings'> {
  readonly cpu: string
  readonly threads: number
  /** Milliseconds since 1970. */
  readonly since: number
}

/** How long the records of a pool are waited for: a folder is listed without them, too. */
const WAIT_MS = 5_000

/**
 * What the workers of a pool have measured and its operators set, as its records have it. Nothing where no broker answers: that is told only
 * where one was named.
 */
export async function readKnown(run: CommandRun, pool: string): Promise<KnownOfPool> {
  const read = readAll(run, pool).catch((thrown: unknown) => {
    const { description } = toPeltonError(
      namedError(namesOfEnv(run.env), thrown),
      'broker-unavailable',
      'its records cannot be read',
    )
    if (run.env.PELTON_NATS_URL)
      run.terminal.note(`what workers measured and operators set is not known: ${description}`)
    return NOTHING
  })
  const late = sleep(WAIT_MS, NOTHING, { ref: false })
  return await Promise.race([read, late])
}

const NOTHING: KnownOfPool = { costs: () => [], admission: () => undefined }

async function readAll(run: CommandRun, pool: string): Promise<KnownOfPool> {
  const { env } = run
  const quiet = { env, terminal: { note: () => undefined } }
  const records = await withBroker(quiet, async ({ connection }) => {
    const pools = await openPoolModels(connection, { pool })
    try {
      return new Map([...pools.all()].map((record) => [record.model, record]))
    } finally {
      await pools.close()
    }
  })
  return {
    costs: ({ name, digest }) =>
      (records.get(name)?.calibrations ?? [])
        .filter((one) => one.digest === digest)
        .sort((one, other) => other.since - one.since)
        .flatMap(known),
    admission: ({ name }) => records.get(name)?.admission,
  }
}

function known({ cpu, threads, since, cost }: RecordedCalibration): KnownCost[] {
  if (cost === undefined) return []
  const { fixedMs, perRowMs, handOverMs, batchRows } = cost
  return [{ cpu, threads, since, batchRows, fixedMs, perRowMs, handOverMs }]
}
