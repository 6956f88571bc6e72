import type { ApiKey } from '../../../shared/operations/keys/key-record.ts'
import { createKey } from '../../../shared/operations/keys/keys.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { CommandRun } from '../command-run.ts'
import { operator } from '../dead-letters/filter-options.ts'
import { keyJson, modelsText } from './shown.ts'
import { withKeys } from './with-keys.ts'

export interface CreateArguments {
  readonly model?: readonly string[]
  readonly allModels?: boolean
  readonly pool: string
  readonly lane: Lane
  readonly quotaClass?: string
  readonly by?: string
  readonly json?: boolean
}

/**
 * Makes a key and prints it, alone on its line of standard output.
 *
 * @returns exit code
 * @throws PeltonError `invalid-argument` for what cannot be in a key
 */
export async function createKeyCommand(
  run: CommandRun,
  name: string,
  given: CreateArguments,
): Promise<number> {
  const { pool, lane: highestLane, quotaClass, by, json } = given
  const wish = { name, models: modelsOf(given), pool, highestLane, quotaClass, by: operator(by) }
  const { text, key } = await withKeys(run, (store) => createKey(store, wish))
  const { terminal } = run
  if (json === true) terminal.json({ key: text, ...keyJson(key) })
  else terminal.print(text)
  terminal.note(createdLine(key))
  terminal.note('it is shown this once: keep it where secrets are kept')
  return EXIT_CODES.ok
}

function createdLine({ id, name, models, pool, highestLane }: ApiKey): string {
  return `key ${id} (${name}): ${modelsText(models)}, pool ${pool}, highest lane ${highestLane}`
}

function modelsOf({ model = [], allModels = false }: CreateArguments): readonly string[] | 'all' {
  if (allModels && model.length === 0) return 'all'
  if (!allModels && model.length > 0) return model
  const problem = allModels ? 'a key is for all models or for named ones' : 'a key names its models'
  throw new PeltonError('invalid-argument', problem, {
    field: '--model',
    remedy: 'Give --model with their names, or --all-models.',
  })
}
