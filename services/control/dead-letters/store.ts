import type { NatsConnection } from '@nats-io/transport-node'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { createHolds, type Holds } from '../replay/holds.ts'
import { type KeyValue, openKeyValue } from '../replay/key-value.ts'

/** What everything that changes dead letters works with. */
export interface OpsStore {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly keyValue: KeyValue
  readonly holds: Holds
}

/** Opens the records about dead letters over a connection. Whoever opens it closes it; the connection stays. */
export function openStore(connection: NatsConnection): OpsStore & { close(): void } {
  const window = new PublishWindow(connection)
  const keyValue = openKeyValue(connection, window)
  return { connection, window, keyValue, holds: createHolds(keyValue), close: () => window.close() }
}
