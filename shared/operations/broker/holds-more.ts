import type { NatsConnection } from '@nats-io/transport-node'
import { nextOfSubject } from '../../sdk/jetstream/api.ts'
import { patiently } from './patience.ts'

/**
 * Whether a stream holds anything between two sequences, by the word of its leader. A reader has one copy, on some server of
 * the cluster, and ends where that copy ends: one that was away is behind for a while.
 *
 * @throws PeltonError `broker-unavailable` after a minute
 */
export async function holdsMore(
  connection: NatsConnection,
  {
    stream,
    subject = '>',
    from,
    to,
  }: Readonly<{ stream: string; subject?: string; from: number; to: number }>,
): Promise<boolean> {
  if (from > to) return false
  const next = await patiently(() => nextOfSubject(connection, stream, subject, from))
  return next !== undefined && next.sequence <= to
}
