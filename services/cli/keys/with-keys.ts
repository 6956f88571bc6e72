import type { KeyStore } from '../../../shared/operations/keys/keys.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'

/** Does something with the keys of the broker that is used. */
export function withKeys<Result>(
  run: CommandRun,
  work: (store: KeyStore) => Promise<Result>,
): Promise<Result> {
  return withBroker(run, async ({ connection }) => {
    const window = new PublishWindow(connection)
    try {
      return await work({ connection, window })
    } finally {
      window.close()
    }
  })
}
