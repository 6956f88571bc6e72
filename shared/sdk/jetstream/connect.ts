import { jetstreamManager } from '@nats-io/jetstream'
import {
  connect as connectNats,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { isVersionAtLeast } from '../broker/find.ts'
import { MINIMUM_SERVER } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'

export interface BrokerOptions {
  /** `nats://host:port`, several separated by commas. */
  readonly url: string
  /** Name shown in the broker's connection list. */
  readonly name: string
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly token?: string | undefined
  /** How long the first connection may take. @default 10_000 */
  readonly timeoutMs?: number
}

/**
 * Connects and checks that the broker can do what Pelton needs. Reconnects for ever afterwards.
 *
 * @throws PeltonError `broker-unavailable` when nobody answers or JetStream is off, `broker-too-old` below 2.14
 */
export async function connectBroker(options: BrokerOptions): Promise<NatsConnection> {
  const connection = await open(options)
  try {
    checkVersion(connection, options.url)
    await jetstreamManager(connection).then((manager) => manager.getAccountInfo())
    return connection
  } catch (thrown) {
    await connection.close()
    if (thrown instanceof PeltonError) throw thrown
    throw new PeltonError(
      'broker-unavailable',
      'the broker answers, but not its JetStream',
      {
        field: 'PELTON_NATS_URL',
        value: withoutSecrets(options.url),
        remedy: 'Enable JetStream for this account.',
      },
      thrown,
    )
  }
}

async function open(options: BrokerOptions): Promise<NatsConnection> {
  const settings: NodeConnectionOptions = {
    servers: options.url.split(',').map((url) => url.trim()),
    name: options.name,
    timeout: options.timeoutMs ?? 10_000,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    noAsyncTraces: true,
    pingInterval: 10_000,
    ...(options.user !== undefined && { user: options.user }),
    ...(options.password !== undefined && { pass: options.password }),
    ...(options.token !== undefined && { token: options.token }),
  }
  try {
    return await connectNats(settings)
  } catch (cause) {
    throw new PeltonError(
      'broker-unavailable',
      'no connection to the broker',
      {
        field: 'PELTON_NATS_URL',
        value: withoutSecrets(options.url),
        remedy: 'Check the address, the credentials, and that the broker runs.',
      },
      cause,
    )
  }
}

function checkVersion(connection: NatsConnection, url: string): void {
  const version = connection.info?.version ?? 'unknown'
  if (isVersionAtLeast(version, MINIMUM_SERVER)) return
  throw new PeltonError(
    'broker-too-old',
    `nats-server ${version} answers, Pelton needs ${MINIMUM_SERVER} or newer`,
    {
      field: 'PELTON_NATS_URL',
      value: withoutSecrets(url),
      remedy: 'Upgrade the broker, or leave PELTON_NATS_URL unset to use the embedded one.',
    },
  )
}

/** A broker address for people: user, password and token removed. */
export function withoutSecrets(url: string): string {
  return url.replace(/(^|,)(\s*)([a-z]+:\/\/)?[^,]*@/gi, '$1$2$3***@')
}
