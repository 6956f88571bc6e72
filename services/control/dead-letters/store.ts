import type { NatsConnection } from '@nats-io/transport-node'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { createHolds, type Holds } from '../replay/holds.ts'
import { type KeyValue, openKeyValue } from '../replay/key-value.ts'
import { reviewHold } from '../replay/left-holds.ts'

/** What everything that changes dead letters works with. */
export interface OpsStore {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly keyValue: KeyValue
  readonly holds: Holds
  /** How long a replay goes on while the broker does not answer, before it leaves its task to others. @default 60_000 */
  readonly patienceMs?: number | undefined
}

/** Opens the records about dead letters over a connection. Whoever opens it closes it; the connection stays. */
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
