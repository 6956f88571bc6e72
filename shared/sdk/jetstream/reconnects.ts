import type { NatsConnection } from '@nats-io/transport-node'

/**
 * Tells each time the connection is back after it was away: what was asked before gets no answer any more.
 * Returns how to stop listening; the end of the connection ends it too.
 */
export function onReconnect(connection: NatsConnection, told: () => void): () => void {
  // An iterator of the client's queue, which can be stopped though its type does not say so.
  const statuses = connection.status() as ReturnType<NatsConnection['status']> & { stop(): void }
  const listen = async (): Promise<void> => {
    for await (const { type } of statuses) if (type === 'reconnect') told()
  }
  void listen()
  return () => statuses.stop()
}
