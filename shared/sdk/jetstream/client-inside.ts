import { createHash } from 'node:crypto'
import type { NatsConnection } from '@nats-io/transport-node'
import type { ClientParser } from './framer.ts'

/** What the direct path uses of the client beyond its documents. */
export interface ClientInside {
  /** Made anew by `resetOutbound`; asked to read each chunk that comes. */
  get parser(): ClientParser
  set parser(reader: Pick<ClientParser, 'parse'>)
  readonly outbound: { fill(bytes: Uint8Array): void; size(): number }
  /** Another one at each dial; without a socket before and after. */
  readonly transport?: { readonly socket?: { readonly writableLength: number } | undefined } | undefined
  /** What the server said of itself; undefined while dialling. */
  readonly info?: { readonly max_payload: number; readonly headers: boolean } | undefined
  /** Set once `drain` has ended its subscriptions. */
  readonly noMorePublishing: boolean
  inMsgs: number
  inBytes: number
  outMsgs: number
  outBytes: number
  isClosed(): boolean
  /** Puts a command behind what waits to be sent. */
  sendCommand(...command: unknown[]): void
  /** Sends what waits, behind it a PING; resolves with its answer. */
  flush(...answer: unknown[]): Promise<void>
  /** Sends what waits, if there is a connection. */
  flushPending(): void
  close(...reason: unknown[]): Promise<void>
  /** Forgets what waits, at each dial. */
  resetOutbound(): void
}

/**
 * SHA-256 of the code of the client's version 3.4.0 that the direct path goes by. For another one: read what changed in the
 * classes named below, run the tests of the direct path, and put what `fingerprintOf` says of it.
 */
const KNOWN_CLIENT = 'mLmJUcJ4Q9CGRvn2375CpsIRuPtsbODgEW0IDB12Qzo'

/**
 * The inside of a connection whose client is exactly the one that is known; undefined of any other.
 *
 * @param known its fingerprint
 */
export function insideOf(connection: NatsConnection, known = KNOWN_CLIENT): ClientInside | undefined {
  return fingerprintOf(connection) === known ? protocolOf(connection) : undefined
}

/** Tells the code of one client from that of others: connection, protocol, parser, output, subscriptions, transport. Empty where one is missing. */
export function fingerprintOf(connection: NatsConnection): string {
  const protocol = protocolOf(connection)
  const parts = [
    ...[connection, protocol, protocol?.parser, protocol?.outbound],
    ...[protocol?.subscriptions, protocol?.transport],
  ]
  if (parts.some((part) => typeof part !== 'object' || part === null)) return ''
  const code = parts.map((part) => String((part as object).constructor))
  return createHash('sha256').update(code.join('\n')).digest('base64url')
}

type Protocol = ClientInside & { readonly subscriptions?: unknown }

function protocolOf(connection: NatsConnection): Protocol | undefined {
  // The client keeps it on the connection without saying so in its types.
  return (connection as unknown as { readonly protocol?: Protocol }).protocol
}
