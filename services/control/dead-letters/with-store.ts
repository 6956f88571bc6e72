import type { NatsConnection } from '@nats-io/transport-node'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'
import { createHolds, type Holds } from '../replay/holds.ts'
import { type KeyValue, openKeyValue } from '../replay/key-value.ts'

/** What commands that change something work with. */
export interface OpsStore {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly keyValue: KeyValue
  readonly holds: Holds
}

/** Does something with the broker, its dead letters, and the records about them. */
export function withStore<Result>(
  run: CommandRun,
  work: (store: OpsStore) => Promise<Result>,
): Promise<Result> {
  return withBroker(run, async ({ connection }) => {
    const window = new PublishWindow(connection)
    const keyValue = openKeyValue(connection, window)
    try {
      return await work({ connection, window, keyValue, holds: createHolds(keyValue) })
    } finally {
      window.close()
    }
  })
}
