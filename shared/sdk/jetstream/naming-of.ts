import type { NatsConnection } from '@nats-io/transport-node'
import type { Naming } from './security.ts'

const known = new WeakMap<NatsConnection, Naming>()

/** Says which names errors of a connection call what it was opened with by. */
export function setNaming(connection: NatsConnection, naming: Naming): void {
  known.set(connection, naming)
}

/** Those names; a connection that Pelton did not open was handed in by a user of the package, who has options. */
export function namingOf(connection: NatsConnection): Naming {
  return known.get(connection) ?? 'options'
}
