import {
  countRemoval,
  type RemovalRequest,
  removeAndRecord,
} from '../../../shared/operations/dead-letters/removal.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import type { CommandRun } from '../command-run.ts'
import { withStore } from './with-store.ts'

/**
 * Discards or purges, and says what came of it.
 *
 * @param isSure false: only count
 */
export async function removeCommand(
  run: CommandRun,
  request: RemovalRequest,
  isSure: boolean,
): Promise<number> {
  const { signal, terminal } = run
  return withStore(run, async (store) => {
    if (!isSure) {
      const found = await countRemoval(store, request)
      terminal.print(`${showCount(found)} dead letters would be ${request.outcome}; add --yes to do it`)
      return EXIT_CODES.ok
    }
    const { removed, gone, held } = await removeAndRecord(store, request, {
      signal,
      onHeld: ({ sequence }, { kind, id, who, isOnItsWay }) => {
        const why = isOnItsWay === true ? 'has it on its way' : 'has it'
        terminal.note(`${sequence}: ${kind} ${id} of ${who} ${why}; nothing was done`)
      },
    })
    terminal.print(`${showCount(removed)} ${request.outcome}, ${gone} gone meanwhile, ${held} held by others`)
    const isShort = removed < request.which.length
    return isShort || held > 0 || signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
  })
}
