import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../sdk/errors.ts'

/** Whether a connection reaches its broker at the moment. */
export interface BrokerReach {
  readonly isReachable: boolean
}

/** Follows a connection: it comes back by itself, and says so. Once it is closed, it stays out of reach. */
export function followBroker(connection: NatsConnection): BrokerReach {
  const reach = { isReachable: !connection.isClosed() }
  const follow = async (): Promise<void> => {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect' || type === 'staleConnection' || type === 'close') reach.isReachable = false
      if (type === 'reconnect') reach.isReachable = true
    }
    reach.isReachable = false
  }
  void follow()
  return reach
}

/**
 * Waits for the end of a connection: resolves after a close of ours.
 *
 * @throws PeltonError `broker-unavailable` when the connection is lost for good
 */
export async function closedForGood(connection: NatsConnection): Promise<void> {
  const cause = await connection.closed()
  if (cause === undefined) return
  throw new PeltonError('broker-unavailable', 'the connection to the broker is closed for good', {}, cause)
}
