import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from './errors.ts'
import { connectBroker } from './jetstream/connect.ts'

/** How to reach the broker: an address, or a connection that is there already. */
export interface ConnectionOptions {
  /** `nats://host:port`, several separated by commas. @default 'nats://127.0.0.1:4222' */
  readonly url?: string
  readonly user?: string
  readonly password?: string
  readonly token?: string
  /** Name shown in the broker's connection list. */
  readonly name?: string
  /** How long the first connection may take, milliseconds. @default 10_000 */
  readonly connectTimeoutMs?: number
  /** A connection to share, which stays open; excludes the others. */
  readonly connection?: NatsConnection
}

/** A connection, and whether it ends with the producer or subscriber that uses it. */
export interface Link {
  readonly connection: NatsConnection
  /** Closes the connection unless the application passed it in. */
  close(): Promise<void>
}

const OWN = ['url', 'user', 'password', 'token', 'connectTimeoutMs'] as const

/**
 * Opens a connection, or borrows the one given.
 *
 * @throws PeltonError `invalid-argument` when both are asked for; `broker-unavailable`, `broker-too-old`
 */
export async function openLink(options: ConnectionOptions, defaultName: string): Promise<Link> {
  const { connection, url = 'nats://127.0.0.1:4222', name = defaultName, user, password, token } = options
  checkConnectionOptions(options)
  if (connection === undefined) {
    const timeout = options.connectTimeoutMs
    const own = await connectBroker({
      ...{ url, name, user, password, token },
      ...(timeout !== undefined && { timeoutMs: timeout }),
    })
    return { connection: own, close: () => own.close() }
  }
  return { connection, close: async () => undefined }
}

/** @throws PeltonError `invalid-argument` when both an address and a connection are given */
export function checkConnectionOptions(options: ConnectionOptions): void {
  const both = options.connection && OWN.find((field) => options[field] !== undefined)
  if (both === undefined) return
  throw new PeltonError('invalid-argument', 'a shared connection has its own address and credentials', {
    field: both,
    remedy: `Give either connection or ${both}.`,
  })
}
