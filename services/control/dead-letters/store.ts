import type { NatsConnection } from '@nats-io/transport-node'
import type { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { Holds } from '../replay/holds.ts'
import type { KeyValue } from '../replay/key-value.ts'

/** What everything that changes dead letters works with. */
export interface OpsStore {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly keyValue: KeyValue
  readonly holds: Holds
  /** How long a replay goes on while the broker does not answer, before it leaves its task to others. @default 60_000 */
  readonly patienceMs?: number | undefined
}
