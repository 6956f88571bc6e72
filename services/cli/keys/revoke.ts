import { revokeKey } from '../../../shared/operations/keys/keys.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import type { CommandRun } from '../command-run.ts'
import { operator } from '../dead-letters/filter-options.ts'
import { keyJson } from './shown.ts'
import { withKeys } from './with-keys.ts'

/**
 * Revokes a key. One that was revoked before is no failure: it is refused, as was asked for.
 *
 * @returns exit code
 * @throws PeltonError `invalid-argument` where there is no such key, or several have the name
 */
export async function revokeKeyCommand(
  run: CommandRun,
  which: string,
  { by, json }: { readonly by?: string; readonly json?: boolean },
): Promise<number> {
  const { key, isRevokedNow } = await withKeys(run, (store) => revokeKey(store, which, operator(by)))
  if (json === true) run.terminal.json(keyJson(key))
  const { id, name, revokedAt, revokedBy = 'somebody' } = key
  const done = isRevokedNow
    ? 'is revoked: every gateway refuses it within five seconds'
    : `was revoked before, ${revokedAt} by ${revokedBy}`
  run.terminal.note(`key ${id} (${name}) ${done}`)
  return EXIT_CODES.ok
}
