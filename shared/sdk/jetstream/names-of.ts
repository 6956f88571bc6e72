import type { NatsConnection } from '@nats-io/transport-node'
import { createNames, type Names, PLAIN_NAMES } from '../contract/names.ts'
import { type ErrorCode, PeltonError } from '../errors.ts'

const known = new WeakMap<NatsConnection, Names>()

/** The names of the Pelton that a connection is for: those without a prefix unless {@link claimNames} said otherwise. */
export function namesOf(connection: NatsConnection): Names {
  return known.get(connection) ?? PLAIN_NAMES
}

/** Errors that name streams of the broker, and nothing a user gave. */
const OF_BROKER: ReadonlySet<ErrorCode> = new Set([
  ...(['broker-unavailable', 'not-provisioned', 'stream-full', 'undeliverable'] as const),
])

/**
 * An error for people, with the streams it names as the broker has them, and so its causes; anything else as it is. What is
 * named already stays.
 */
export function namedError(names: Names, thrown: unknown): unknown {
  if (!(thrown instanceof PeltonError) || names.prefix === undefined || !OF_BROKER.has(thrown.code))
    return thrown
  const { code, description, details, stack } = thrown
  const named = Object.entries(details).map(([key, text]) => [key, text && names.text(text)])
  const cause = namedError(names, thrown.cause)
  // Its description has the details in it already.
  const error = new PeltonError(code, names.text(description), {}, cause)
  // Where it comes from, not where it was named.
  if (stack !== undefined) error.stack = names.text(stack)
  return Object.assign(error, { details: Object.fromEntries(named) })
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
