import type { NatsConnection } from '@nats-io/transport-node'
import { createNames, type Names, PLAIN_NAMES } from '../contract/names.ts'
import { PeltonError } from '../errors.ts'

const known = new WeakMap<NatsConnection, Names>()

/** The names of the Pelton that a connection is for: those without a prefix unless {@link claimNames} said otherwise. */
export function namesOf(connection: NatsConnection): Names {
  return known.get(connection) ?? PLAIN_NAMES
}

/**
 * Says which Pelton a connection is for, for as long as it lives. Without a prefix it stays what it was, or gets none.
 *
 * @throws PeltonError `invalid-argument` for a text that cannot be a prefix, and where the connection is for another Pelton
 */
export function claimNames(connection: NatsConnection, prefix: string | undefined): Names {
  const before = known.get(connection)
  if (before !== undefined && (prefix === undefined || prefix === before.prefix)) return before
  const names = createNames(prefix)
  if (before !== undefined) {
    throw new PeltonError('invalid-argument', 'this connection is in use with another prefix', {
      field: 'prefix',
      value: `${prefix}, not ${before.prefix ?? 'none'}`,
      remedy: 'Give each prefix a connection of its own.',
    })
  }
  known.set(connection, names)
  return names
}
