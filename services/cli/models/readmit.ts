import { isForOperator, readmit } from '../../../shared/operations/models/operator-case.ts'
import { openPoolModels } from '../../../shared/operations/models/pool-models.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'

export interface ReadmitArguments {
  readonly pool: string
}

/**
 * Has a model that runs apart, or that is not run because it fails on everything, run with the others again, in all workers
 * of its pool.
 *
 * @returns exit code
 * @throws PeltonError `invalid-argument` for a model that is run with the others
 */
export async function readmitModel(
  run: CommandRun,
  model: string,
  { pool }: ReadmitArguments,
): Promise<number> {
  return await withBroker(run, async ({ connection }) => {
    const records = await openPoolModels(connection, { pool })
    try {
      const record = records.find(model)
      if (record?.apart === undefined && record?.breaker === undefined) throw notApart(model, pool)
      await records.update(model, readmit)
      const isHeld = record.breaker !== undefined || isForOperator(record)
      const before = isHeld ? 'was not run any more' : 'ran apart'
      run.terminal.note(`model ${model} of pool ${pool} ${before}; it runs with the others again`)
      return EXIT_CODES.ok
    } finally {
      await records.close()
    }
  })
}

function notApart(model: string, pool: string): PeltonError {
  return new PeltonError('invalid-argument', 'this model does not run apart, and its breaker is closed', {
    field: 'model',
    value: showValue(model),
    remedy: `Check its name and its pool (--pool, now ${pool}).`,
  })
}
