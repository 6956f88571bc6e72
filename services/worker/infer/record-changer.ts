import type { ModelRecord } from '../../../shared/operations/models/model-record.ts'
import type { PoolModels } from '../../../shared/operations/models/pool-models.ts'

/** Changes what the pool remembers of a model. @returns the record as it is now; undefined where it could not be changed */
export type ChangeRecord = (
  model: string,
  change: (record: ModelRecord) => ModelRecord,
) => Promise<ModelRecord | undefined>

/** For who goes on without the pool. @param onTrouble told of a record that could not be changed */
export function recordChanger(
  pool: Pick<PoolModels, 'update'>,
  onTrouble: (model: string, thrown: unknown) => void,
): ChangeRecord {
  return async (model, change) => {
    try {
      return await pool.update(model, change)
    } catch (thrown) {
      onTrouble(model, thrown)
      return undefined
    }
  }
}
