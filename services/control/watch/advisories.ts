import type { NatsConnection } from '@nats-io/transport-node'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'

/**
 * Calls `wake` when the broker says that it gave up on an event: a consumer was changed, by other means than Pelton. A
 * wake-up and never the truth: advisories are sent once, and only to connections that listen then. Without the right to
 * listen nothing is lost but time.
 */
export function listenForAdvisories(connection: NatsConnection, wake: () => void): { close(): void } {
  const subscriptions = [STREAMS.features, STREAMS.retries].flatMap(subjects.advisories).map((subject) =>
    connection.subscribe(namesOf(connection).subject(subject), {
      callback: (error) => {
        if (error === null) wake()
      },
    }),
  )
  return {
    close: () => {
      for (const subscription of subscriptions) subscription.unsubscribe()
    },
  }
}
