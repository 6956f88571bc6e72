import type { NatsConnection } from '@nats-io/transport-node'
import { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { createHolds, type Holds } from '../records/holds.ts'
import { openKeyValue } from '../records/key-value.ts'
import type { OpsStore } from '../records/store.ts'
import { reviewHold } from './left-holds.ts'

/** Opens the records about dead letters over a connection. The caller closes it; the connection stays. */
export function openStore(
  connection: NatsConnection,
  { patienceMs }: Pick<OpsStore, 'patienceMs'> = {},
): OpsStore & { close(): void } {
  const window = new PublishWindow(connection)
  const keyValue = openKeyValue(connection, window, patienceMs)
  const holds: Holds = createHolds(keyValue, (taken) =>
    reviewHold({ connection, window, keyValue, holds }, taken),
  )
  return { connection, window, keyValue, holds, patienceMs, close: () => window.close() }
}
