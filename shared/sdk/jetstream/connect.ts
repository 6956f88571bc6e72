import { setTimeout as sleep } from 'node:timers/promises'
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream'
import {
  connect as connectNats,
  errors,
  type NatsConnection,
  type NodeConnectionOptions,
  type ReconnectToServerHandler,
} from '@nats-io/transport-node'
import { isVersionAtLeast } from '../broker/find.ts'
import { MINIMUM_SERVER } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import { explainConnection } from './connection-cause.ts'
import { leaveStrandedServer } from './stranded.ts'

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

const CONNECT_TIMEOUT_MS = 10_000
const ASK_AGAIN_MS = 200
/** A server that is cut off or hangs is left after two pings without an answer: before the others have elected. */
const PING_EVERY_MS = 1_500
/** How long JetStream may take for one answer. */
const ANSWER_MS = 2_000

/** Error code of the JetStream API while a cluster has no leader. */
const TEMPORARILY_UNAVAILABLE = 10_008

/**
 * Connects and checks that the broker can do what Pelton needs. Reconnects for ever afterwards.
 *
 * @throws PeltonError `broker-unavailable` when no server answers or JetStream is off, `broker-too-old` below 2.14
 */
export async function connectBroker(options: BrokerOptions): Promise<NatsConnection> {
  const connection = await open(options)
  try {
    checkVersion(connection, options.url)
    await requireJetStream(connection, options.timeoutMs ?? CONNECT_TIMEOUT_MS)
    if (options.url.includes(',')) leaveStrandedServer(connection)
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

/** A cluster that elects its leader says that JetStream is unavailable, or nothing: it is asked again. */
async function requireJetStream(connection: NatsConnection, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      await jetstreamManager(connection, { timeout: ANSWER_MS }) // asks for the account by itself
      return
    } catch (thrown) {
      if (!isPassing(thrown) || performance.now() > deadline) throw thrown
      await sleep(ASK_AGAIN_MS)
    }
  }
}

function isPassing(thrown: unknown): boolean {
  if (thrown instanceof JetStreamApiError) return thrown.code === TEMPORARILY_UNAVAILABLE
  return thrown instanceof errors.TimeoutError
}

async function open(options: BrokerOptions): Promise<NatsConnection> {
  const settings: NodeConnectionOptions = {
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
    reconnectToServer: longestUntried(),
    ...(options.user !== undefined && { user: options.user, inboxPrefix: inboxOf(options.user) }),
    ...(options.password !== undefined && { pass: options.password }),
    ...(options.token !== undefined && { token: options.token }),
  }
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

/**
 * Dials the servers of a cluster in turn. The client itself tries the one it has just lost first, and a server that is
 * cut off lets it wait for the whole timeout.
 */
function longestUntried(): ReconnectToServerHandler {
  const turns = new Map<string, number>()
  let turn = 0
  return (pool) => {
    const [chosen] = [...pool].sort((a, b) => (turns.get(a.listen) ?? 0) - (turns.get(b.listen) ?? 0))
    if (chosen === undefined) return null
    turns.set(chosen.listen, ++turn)
    return chosen
  }
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
