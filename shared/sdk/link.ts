import type { NatsConnection } from '@nats-io/transport-node'
import { createNames } from './contract/names.ts'
import { PeltonError } from './errors.ts'
import { connectBroker } from './jetstream/connect.ts'
import { claimDomain } from './jetstream/domain.ts'
import type { Waiting } from './jetstream/election.ts'
import { claimNames } from './jetstream/names-of.ts'
import { checkSecurity, type SecurityOptions } from './jetstream/security.ts'
import type { ConnectionTrouble } from './jetstream/trouble.ts'

/** How to reach the broker: an address and who you are to it, or a connection that is there already. */
export interface ConnectionOptions extends SecurityOptions {
  /**
   * `nats://host:port`, several separated by commas; `tls://` for no connection without TLS.
   * @default 'nats://127.0.0.1:4222'
   */
  readonly url?: string
  /** Name shown in the broker's connection list. */
  readonly name?: string
  /**
   * How long the first connection may take, and then a broker that elects a leader, milliseconds.
   * @default 10_000 for the first, 60_000 for the second
   */
  readonly connectTimeoutMs?: number
  /**
   * What carries events and results: this package, in few copies, or its NATS client as everything else. A connection that
   * you pass in stays its client's.
   * @default 'direct'
   */
  readonly dataPath?: 'direct' | 'client'
  /**
   * Told of what is in the way of the connection later, each thing once: why it is away, a file that cannot be read, a subject
   * that the broker refuses. @default silence
   *
   * @experimental
   */
  readonly onTrouble?: (trouble: ConnectionTrouble) => void
  /** A connection to share, which stays open; excludes the others but `domain` and `prefix`. */
  readonly connection?: NatsConnection
  /**
   * Which Pelton of the account this is for: the `PELTON_PREFIX` of its workers. A connection is for one.
   * @default none, or that of a shared connection which was used with one before
   */
  readonly prefix?: string
}

/** A connection, and whether it ends with the producer or subscriber that uses it. */
export interface Link {
  readonly connection: NatsConnection
  /** How to wait for the answer to what is asked at the start. */
  readonly waiting: Waiting
  /** Closes the connection unless the application passed it in. */
  close(): Promise<void>
}

const SECURITY = [
  ...([
    'user',
    'userFile',
    'password',
    'passwordFile',
    'token',
    'tokenFile',
    'credsFile',
    'nkeyFile',
  ] as const),
  ...(['tls', 'domain', 'inboxPrefix'] as const),
] as const
const OWN = ['url', ...SECURITY, 'connectTimeoutMs', 'dataPath', 'onTrouble'] as const

/** Who opens a link. */
export interface LinkUser extends Waiting {
  /** Name for the broker's connection list, unless the application gives another. */
  readonly name: string
  /** A stream whose leader it may ask for. */
  readonly quorumOf: string
}

/** How long a start waits for a broker that elects a leader, milliseconds. */
const PATIENCE_MS = 60_000

/**
 * Opens a connection, or borrows the one given: that one stays at the server where the application put it.
 *
 * @throws PeltonError `invalid-argument` when both are asked for, and for a prefix that cannot be used; `broker-unavailable`, `broker-too-old`; the reason of
 *   `user.signal`
 */
export async function openLink(options: ConnectionOptions, linkUser: LinkUser): Promise<Link> {
  const { connection, url = 'nats://127.0.0.1:4222', name = linkUser.name, domain } = options
  checkConnectionOptions(options)
  const { connectTimeoutMs: timeoutMs, dataPath, onTrouble, prefix } = options
  const { quorumOf, signal, patienceMs = timeoutMs ?? PATIENCE_MS } = linkUser
  const waiting = { patienceMs, signal }
  if (connection !== undefined) {
    claimNames(connection, prefix)
    claimDomain(connection, domain)
    return { connection, waiting, close: async () => undefined }
  }
  const security = Object.fromEntries(SECURITY.map((field) => [field, options[field]])) as SecurityOptions
  const own = await connectBroker({
    ...{ url, name, ...security, naming: 'options', quorumOf, dataPath, onTrouble, prefix },
    ...waiting,
    ...(timeoutMs !== undefined && { timeoutMs }),
  })
  return { connection: own, waiting, close: () => own.close() }
}

/**
 * @throws PeltonError `invalid-argument` when both an address and a connection are given, what excludes each other, or a prefix that
 *   cannot be one
 */
export function checkConnectionOptions(options: ConnectionOptions): void {
  createNames(options.prefix)
  checkSecurity(options, 'options')
  const isBoth = (field: (typeof OWN)[number]): boolean => field !== 'domain' && options[field] !== undefined
  const both = options.connection && OWN.find(isBoth)
  if (both === undefined) return
  throw new PeltonError('invalid-argument', 'a shared connection has its own address and credentials', {
    field: both,
    remedy: `Give either connection or ${both}.`,
  })
}
