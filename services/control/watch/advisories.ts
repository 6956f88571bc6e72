import type { NatsConnection } from '@nats-io/transport-node'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'

const KINDS = ['MAX_DELIVERIES', 'MSG_TERMINATED'] as const

/**
 * Calls `wake` when the broker says that it gave up on an event: somebody changed a consumer. A wake-up and never the
 * truth: advisories are sent once, and only while somebody listens. Without the right to listen nothing is lost but time.
 */
export function listenForAdvisories(connection: NatsConnection, wake: () => void): { close(): void } {
  const subscriptions = KINDS.flatMap((kind) =>
    [STREAMS.features, STREAMS.retries].map((stream) =>
      connection.subscribe(`$JS.EVENT.ADVISORY.CONSUMER.${kind}.${stream}.>`, {
        callback: (error) => {
          if (error === null) wake()
        },
      }),
    ),
  )
  return {
    close: () => {
      for (const subscription of subscriptions) subscription.unsubscribe()
    },
  }
}
