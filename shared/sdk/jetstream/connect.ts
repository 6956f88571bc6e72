import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream'
import {
  connect as connectNats,
  errors,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { isVersionAtLeast } from '../broker/find.ts'
import { MINIMUM_SERVER, STREAMS } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import { explainConnection } from './connection-cause.ts'
import { goDirect } from './direct-path.ts'
import { untilItPasses, type Waiting } from './election.ts'
import { createServerChoice } from './server-choice.ts'
import { leaveStrandedServer } from './stranded.ts'

/** How to connect; as a {@link Waiting}, how long JetStream may be without a leader then: `timeoutMs` unless told. */
export interface BrokerOptions extends Waiting {
  /** `nats://host:port`, several separated by commas. */
  readonly url: string
  /** Name shown in the broker's connection list. */
  readonly name: string
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly token?: string | undefined
  /** How long the first connection may take. @default 10_000 */
  readonly timeoutMs?: number
  /**
   * A stream this user may ask about: whether its leader hears a majority tells whether the server is cut off.
   * @default 'RESULTS'
   */
  readonly quorumOf?: string
  /**
   * What carries deliveries, results and acknowledgements: Pelton beside the client (`direct`), or the client as everything
   * else. With a client it does not know Pelton takes the second, and warns once.
   * @default 'direct'
   */
  readonly dataPath?: 'direct' | 'client' | undefined
}

const CONNECT_TIMEOUT_MS = 10_000
/** A server that is cut off or hangs is left after two pings without an answer: before the others have elected. */
const PING_EVERY_MS = 1_500
/** How long JetStream may take for one answer. */
const ANSWER_MS = 2_000

/** Error code of the JetStream API while a cluster has no leader. */
const TEMPORARILY_UNAVAILABLE = 10_008

/**
 * Connects and checks that the broker can do what Pelton needs. Reconnects for ever afterwards, and leaves a server that is cut
 * off from the others.
 *
 * @throws PeltonError `broker-unavailable` when no server answers, JetStream is off, or has no leader for too long;
 *   `broker-too-old` below 2.14; the reason of `signal` once it is aborted
 */
export async function connectBroker(options: BrokerOptions): Promise<NatsConnection> {
  const servers = createServerChoice()
  const settings = settingsOf(options)
  const connection = await open(options, { ...settings, reconnectToServer: servers.dial })
  if (options.dataPath !== 'client') goDirect(connection)
  try {
    checkVersion(connection, options.url)
    // From the first moment: it may have met the very server that is cut off.
    leaveStrandedServer(connection, { settings, servers, stream: options.quorumOf ?? STREAMS.results })
    await requireJetStream(connection, options)
    return connection
  } catch (thrown) {
    await connection.close()
    options.signal?.throwIfAborted()
    throw thrown instanceof PeltonError ? thrown : withoutJetStream(options.url, thrown)
  }
}

/** A cluster that elects its leader says that JetStream is unavailable, or nothing: it is asked again. */
async function requireJetStream(connection: NatsConnection, options: BrokerOptions): Promise<void> {
  const { timeoutMs = CONNECT_TIMEOUT_MS, patienceMs = timeoutMs, onWait, signal } = options
  // It asks for the account by itself.
  await untilItPasses(() => jetstreamManager(connection, { timeout: ANSWER_MS }), {
    ...{ patienceMs, signal, passes: hasNoLeader },
    onWait: (reason) => onWait?.(`no leader answers for JetStream: ${reason}`),
  })
}

function hasNoLeader(thrown: unknown): boolean {
  if (thrown instanceof JetStreamApiError) return thrown.code === TEMPORARILY_UNAVAILABLE
  return thrown instanceof errors.TimeoutError
}

function withoutJetStream(url: string, cause: unknown): PeltonError {
  const details = { field: 'PELTON_NATS_URL', value: withoutSecrets(url) }
  return hasNoLeader(cause)
    ? new PeltonError(
        'broker-unavailable',
        'the broker answers, but its JetStream has no leader',
        { ...details, remedy: 'More than half of its servers have to run, and to hear each other.' },
        cause,
      )
    : new PeltonError(
        'broker-unavailable',
        'the broker answers, but not its JetStream',
        { ...details, remedy: 'Enable JetStream for this account.' },
        cause,
      )
}

function settingsOf(options: BrokerOptions): NodeConnectionOptions {
  return {
    servers: options.url.split(',').map((url) => url.trim()),
    name: options.name,
    timeout: options.timeoutMs ?? CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    noAsyncTraces: true,
    pingInterval: PING_EVERY_MS,
    maxPingOut: 2,
    ...(options.user !== undefined && { user: options.user, inboxPrefix: inboxOf(options.user) }),
    ...(options.password !== undefined && { pass: options.password }),
    ...(options.token !== undefined && { token: options.token }),
  }
}

async function open(options: BrokerOptions, settings: NodeConnectionOptions): Promise<NatsConnection> {
  try {
    return await connectNats(settings)
  } catch (cause) {
    throw notConnected(options.url, cause)
  }
}

/** Says why there is no connection, by the deepest cause, and what helps against that. */
function notConnected(url: string, cause: unknown): PeltonError {
  const { text, remedy } = explainConnection(cause)
  return new PeltonError(
    'broker-unavailable',
    `no connection to the broker: ${text}`,
    { field: 'PELTON_NATS_URL', value: withoutSecrets(url), remedy },
    cause,
  )
}

/** Each user has inboxes of its own: a user that may listen to all of `_INBOX.>` reads what others are answered. */
export function inboxOf(user: string): string {
  return `_INBOX.${user.slice(0, 64).replaceAll(/[^A-Za-z0-9_-]/g, '_')}`
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
