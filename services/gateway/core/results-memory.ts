import type { NatsConnection } from '@nats-io/transport-node'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { notOnBroker } from '../../../shared/sdk/jetstream/not-on-broker.ts'

const NANOS_PER_MS = 1e6

/**
 * How long an answer is known, and an idempotency key with it: what RESULTS keeps by its configuration, milliseconds.
 * `undefined` where it keeps them for ever. A bound in messages or bytes may end it earlier.
 *
 * @throws PeltonError `broker-unavailable`, `not-provisioned`
 */
export async function memoryOf(connection: NatsConnection): Promise<number | undefined> {
  const info = await streamInfo(connection, STREAMS.results)
  if (info === undefined) throw notOnBroker(`stream ${namesOf(connection).stream(STREAMS.results)}`)
  const maxAge = Number(info.config.max_age ?? 0)
  return maxAge > 0 ? maxAge / NANOS_PER_MS : undefined
}
