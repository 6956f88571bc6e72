import type { ModelRecord } from '../../../shared/operations/models/model-record.ts'
import { openPoolModels, type PoolModels } from '../../../shared/operations/models/pool-models.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'

export interface RetireArguments {
  readonly pool: string
  /** This version alone. @default all of them */
  readonly modelVersion?: string
}

/**
 * Takes a model, or one version of it, out of what its pool knows: what waits for it, and what still comes, becomes dead
 * letters with the reason `unknown-model`.
 *
 * @returns exit code
 * @throws PeltonError `invalid-argument` for a model that the pool does not know, or that a living worker serves
 */
export async function retireModel(run: CommandRun, model: string, given: RetireArguments): Promise<number> {
  const { pool, modelVersion: version } = given
  return await withBroker(run, async ({ connection }) => {
    const records = await openPoolModels(connection, { pool })
    try {
      checkRetirable(records, model, given)
      if (version === undefined) await records.retire(model)
      else await records.update(model, (record) => withoutVersion(record, version))
      const which = version === undefined ? '' : ` version ${version}`
      run.terminal.note(
        `model ${model}${which} of pool ${pool} is retired; its events become dead letters (unknown-model)`,
      )
      return EXIT_CODES.ok
    } finally {
      await records.close()
    }
  })
}

function checkRetirable(
  records: PoolModels,
  model: string,
  { pool, modelVersion: version }: RetireArguments,
): void {
  const record = records.find(model)
  const isKnown = version === undefined || record?.versions[version] !== undefined
  if (record === undefined || !isKnown)
    throw new PeltonError('invalid-argument', 'the pool does not know it', {
      field: version === undefined ? 'model' : '--model-version',
      value: showValue(version ?? model),
      remedy: `Check its name and its pool (--pool, now ${pool}).`,
    })
  const serving = records.workers.filter((worker) => {
    const versions = record.serving[worker]?.versions ?? []
    return version === undefined ? versions.length > 0 : versions.includes(version)
  })
  if (serving.length === 0) return
  throw new PeltonError('invalid-argument', `${serving.length} workers serve it`, {
    field: 'model',
    value: showValue(model),
    remedy: 'Take it out of the models folder, restart the workers, and retire it then.',
  })
}

function withoutVersion(record: ModelRecord, version: string): ModelRecord {
  const { [version]: _retired, ...versions } = record.versions
  const refusing = Object.entries(record.refusing).filter(([, refusal]) => refusal.version !== version)
  return { ...record, versions, refusing: Object.fromEntries(refusing) }
}
