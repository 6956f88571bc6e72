import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../errors.ts'
import { checkSecurity } from './security.ts'

const domains = new WeakMap<NatsConnection, string>()

/** Says in which JetStream domain the streams of a connection are. Without it: that of the server it is connected to. */
export function setDomain(connection: NatsConnection, domain: string): void {
  domains.set(connection, domain)
}

/**
 * The same for a connection that others may use as well; without a domain it stays what it was.
 *
 * @throws PeltonError `invalid-argument` for a text that is no domain, and where the connection is in use with another
 */
export function claimDomain(connection: NatsConnection, domain: string | undefined): void {
  if (domain === undefined) return
  checkSecurity({ domain }, 'options')
  const before = domains.get(connection) ?? domain
  if (before !== domain)
    throw new PeltonError('invalid-argument', 'this connection is in use with another domain', {
      field: 'domain',
      value: `${domain}, not ${before}`,
      remedy: 'Give each domain a connection of its own.',
    })
  setDomain(connection, domain)
}

export function domainOf(connection: NatsConnection): string | undefined {
  return domains.get(connection)
}

/**
 * Subject of a request to the JetStream API: `STREAM.INFO.FEATURES` becomes `$JS.API.STREAM.INFO.FEATURES`, and with a domain
 * `$JS.<domain>.API.STREAM.INFO.FEATURES`.
 */
export function apiSubject(connection: NatsConnection, request: string): string {
  const domain = domains.get(connection)
  return domain === undefined ? `$JS.API.${request}` : `$JS.${domain}.API.${request}`
}

/**
 * Whether nobody is elected where the streams of a connection are: its server stands alone, and has them itself. Behind it may be
 * a cluster, where it has no JetStream or another domain is asked.
 */
export function isAlone(connection: NatsConnection): boolean {
  const { cluster, jetstream, domain } = (connection.info ?? {}) as ServerInfo
  const asked = domains.get(connection)
  return cluster === undefined && jetstream === true && (asked === undefined || asked === domain)
}

/** What a server says of itself; the client has no type for the last. */
interface ServerInfo {
  readonly cluster?: string
  readonly jetstream?: boolean
  readonly domain?: string
}
