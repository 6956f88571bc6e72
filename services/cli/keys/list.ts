import type { ApiKey } from '../../../shared/operations/keys/key-record.ts'
import { listKeys } from '../../../shared/operations/keys/keys.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'
import { keyJson, modelsText } from './shown.ts'

const HEADING = ['ID', 'NAME', 'POOL', 'LANE', 'MODELS', 'QUOTA CLASS', 'CREATED', 'BY', 'REVOKED']

/** Lists the keys; none of their hashes. Returns the exit code. */
export async function listKeysCommand(
  run: CommandRun,
  { json }: { readonly json?: boolean },
): Promise<number> {
  const { keys, problems } = await withBroker(run, ({ connection }) => listKeys(connection))
  const { terminal } = run
  if (json === true) for (const key of keys) terminal.json(keyJson(key))
  else if (keys.length === 0) terminal.note('no keys')
  else terminal.table([HEADING, ...keys.map(rowOf)])
  for (const problem of problems) terminal.note(`pelton: ${problem}`)
  return EXIT_CODES.ok
}

function rowOf(key: ApiKey): string[] {
  const { id, name, pool, highestLane, models, quotaClass = '', createdAt, createdBy, revokedAt = '' } = key
  return [id, name, pool, highestLane, modelsText(models), quotaClass, createdAt, createdBy, revokedAt]
}
