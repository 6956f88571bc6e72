import type { OpsStore } from '../../../shared/operations/records/store.ts'
import { openStore } from '../../../shared/operations/replay/open-store.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'

/** Does something with the broker, its dead letters, and the records about them. */
export function withStore<Result>(
  run: CommandRun,
  work: (store: OpsStore) => Promise<Result>,
): Promise<Result> {
  return withBroker(run, async ({ connection }) => {
    const store = openStore(connection)
    try {
      return await work(store)
    } finally {
      store.close()
    }
  })
}
