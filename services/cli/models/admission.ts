import type { RecordedAdmission } from '../../../shared/operations/models/model-record.ts'
import { openPoolModels } from '../../../shared/operations/models/pool-models.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import type { AdmissionMode } from '../../../shared/sdk/contract/flow.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'
import { operator } from '../dead-letters/filter-options.ts'

export interface AdmissionArguments {
  readonly pool: string
  readonly by?: string
}

/** What doors do in each mode with what they would refuse. */
const DOES: Readonly<Record<AdmissionMode, string>> = {
  off: 'let everything in, and look at nothing',
  observe: 'let in what they would refuse, and count it',
  enforce: 'refuse what would come too late, or finds no room',
}

/**
 * Says what doors are to do with the events of a model, and who said so before.
 *
 * @returns exit code
 * @throws PeltonError `invalid-argument` for a model that the pool does not know
 */
export async function setAdmission(
  run: CommandRun,
  model: string,
  mode: AdmissionMode,
  { pool, by }: AdmissionArguments,
): Promise<number> {
  return await withBroker(run, async ({ connection }) => {
    const records = await openPoolModels(connection, { pool })
    try {
      if (records.find(model) === undefined) throw unknown(model, pool)
      const admission = { mode, by: operator(by), at: Date.now() }
      let before: RecordedAdmission | undefined
      await records.update(model, (record) => {
        before = record.admission
        return { ...record, admission }
      })
      const was = before === undefined ? 'as its manifest says' : showAdmission(before)
      run.terminal.note(`model ${model} of pool ${pool}: doors ${DOES[mode]} (${mode}; before: ${was})`)
      return EXIT_CODES.ok
    } finally {
      await records.close()
    }
  })
}

/** What an operator set, who, and when. */
function showAdmission({ mode, by, at }: RecordedAdmission): string {
  return `${mode}, set by ${by} at ${new Date(at).toISOString()}`
}

function unknown(model: string, pool: string): PeltonError {
  return new PeltonError('invalid-argument', 'the pool does not know it', {
    field: 'model',
    value: showValue(model),
    remedy: `Check its name and its pool (--pool, now ${pool}): a model is known once a worker has served it.`,
  })
}
