import type { NatsConnection } from '@nats-io/transport-node'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import type { Holds } from './holds.ts'
import type { KeyValue } from './key-value.ts'

/** What everything that changes dead letters works with. */
export interface OpsStore {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly keyValue: KeyValue
  readonly holds: Holds
  /** How long a replay goes on while the broker does not answer, before it leaves its task to others. @default 60_000 */
  readonly patienceMs?: number | undefined
}
