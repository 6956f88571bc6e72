import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream'
import {
  connect as connectNats,
  errors,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { isVersionAtLeast } from '../broker/find.ts'
import { createNames } from '../contract/names.ts'
import { MINIMUM_SERVER, STREAMS } from '../contract/topology.ts'
import { messageOf, PeltonError } from '../errors.ts'
import { type ConnectionCause, explainRequest } from './connection-cause.ts'
import { type ConnectionSecurity, openSecurity } from './connection-security.ts'
import { goDirect } from './direct-path.ts'
import { setDomain } from './domain.ts'
import { untilItPasses, type Waiting } from './election.ts'
import { claimNames } from './names-of.ts'
import { setNaming } from './naming-of.ts'
import { type Naming, nameOf, type SecurityOptions } from './security.ts'
import { createServerChoice } from './server-choice.ts'
import { leaveStrandedServer } from './stranded.ts'
import { followTrouble, type OnTrouble } from './trouble.ts'

/** How to connect; as a {@link Waiting}, how long JetStream may be without a leader then: `timeoutMs` unless told. */
export interface BrokerOptions extends Waiting, SecurityOptions {
  /** `nats://host:port`, several separated by commas. A user with password, or a token, may stand before the host. */
  readonly url: string
  /** Name shown in the broker's connection list. */
  readonly name: string
  /** What errors call these options by. @default 'settings' */
  readonly naming?: Naming | undefined
  /** Told once of each thing that is in the way of the connection later. */
  readonly onTrouble?: OnTrouble | undefined
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
  /** Which Pelton of the account this is for. @default none: the one without a prefix */
  readonly prefix?: string | undefined
}

const CONNECT_TIMEOUT_MS = 10_000
/** A server that is cut off or hangs is left after two pings without an answer: before the others have elected. */
const PING_EVERY_MS = 1_500
/** How long JetStream may take for one answer. */
const ANSWER_MS = 2_000
/** How long one look may take at why a connection is away. */
const LOOK_MS = 3_000

/**
 * Connects and checks that the broker can do what Pelton needs. Reconnects for ever afterwards, with what the files of its
 * security hold then, and leaves a server that is cut off from the others.
 *
 * @throws PeltonError `broker-unavailable` when no server answers or lets it in, JetStream is off, or has no leader for too long;
 *   `broker-too-old` below 2.14; `invalid-configuration` (`invalid-argument` with `naming` `options`) for security that cannot be
 *   used; `invalid-argument` for a prefix that cannot be one; the reason of `signal` once it is aborted
 */
export async function connectBroker(options: BrokerOptions): Promise<NatsConnection> {
  const { stream } = createNames(options.prefix)
  const security = openSecurity(options)
  const servers = createServerChoice()
  const settings = settingsOf(options, security)
  const connection = await open(options, security, { ...settings, reconnectToServer: servers.dial })
  claimNames(connection, options.prefix)
  setNaming(connection, options.naming ?? 'settings')
  if (options.dataPath !== 'client') goDirect(connection)
  if (options.domain !== undefined) setDomain(connection, options.domain)
  const findCause = () =>
    security.findCause(() => connectNats({ ...settings, reconnect: false, timeout: LOOK_MS }))
  followTrouble(connection, { findCause, explain: security.explain, onTrouble: options.onTrouble })
  try {
    checkVersion(connection, options)
    // From the first moment: it may have met the very server that is cut off.
    const quorumOf = stream(options.quorumOf ?? STREAMS.results)
    leaveStrandedServer(connection, { settings, servers, stream: quorumOf })
    await requireJetStream(connection, options)
    return connection
  } catch (thrown) {
    await connection.close()
    options.signal?.throwIfAborted()
    throw thrown instanceof PeltonError ? thrown : withoutJetStream(options, thrown)
  }
}

/** Error code of the JetStream API while a cluster has no leader. */
const TEMPORARILY_UNAVAILABLE = 10_008

/** A cluster that elects its leader says that JetStream is unavailable, or nothing: it is asked again. */
async function requireJetStream(connection: NatsConnection, options: BrokerOptions): Promise<void> {
  const { timeoutMs = CONNECT_TIMEOUT_MS, patienceMs = timeoutMs, onWait, signal, domain } = options
  const asked = { timeout: ANSWER_MS, ...(domain !== undefined && { domain }) }
  // It asks for the account by itself.
  await untilItPasses(() => jetstreamManager(connection, asked), {
    ...{ patienceMs, signal, passes: hasNoLeader },
    onWait: (reason) => onWait?.(`no leader answers for JetStream: ${reason}`),
  })
}

function hasNoLeader(thrown: unknown): boolean {
  if (thrown instanceof JetStreamApiError) return thrown.code === TEMPORARILY_UNAVAILABLE
  return thrown instanceof errors.TimeoutError
}

function withoutJetStream({ url, domain, naming = 'settings' }: BrokerOptions, cause: unknown): PeltonError {
  const details = { field: nameOf('url', naming), value: withoutSecrets(url) }
  if (hasNoLeader(cause)) {
    const remedy = 'More than half of its servers have to run, and to hear each other.'
    const text = 'the broker answers, but its JetStream has no leader'
    return new PeltonError('broker-unavailable', text, { ...details, remedy }, cause)
  }
  // The client makes an error of its own of this refusal (10039), without the code.
  if (/not enabled for account/i.test(messageOf(cause))) {
    const remedy = `Enable JetStream for this account, or use another in ${nameOf('credsFile', naming)} or ${nameOf('user', naming)}.`
    const text = `the broker answers, and JetStream is not enabled for this account (${messageOf(cause)})`
    return new PeltonError('broker-unavailable', text, { ...details, remedy }, cause)
  }
  const { text, remedy } = explainRequest(cause, domain, naming)
  const said = { ...details, ...(remedy !== undefined && { remedy }) }
  return new PeltonError(
    'broker-unavailable',
    `the broker answers, but not its JetStream: ${text}`,
    said,
    cause,
  )
}

function settingsOf(options: BrokerOptions, security: ConnectionSecurity): NodeConnectionOptions {
  return {
    ...security.settings,
    name: options.name,
    timeout: options.timeoutMs ?? CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    reconnectJitterTLS: 100,
    noAsyncTraces: true,
    pingInterval: PING_EVERY_MS,
    maxPingOut: 2,
  }
}

async function open(
  options: BrokerOptions,
  security: ConnectionSecurity,
  settings: NodeConnectionOptions,
): Promise<NatsConnection> {
  try {
    return await connectNats(settings)
  } catch (cause) {
    throw notConnected(options, await security.causeOf(cause), cause)
  }
}

/** Says why there is no connection, by the deepest cause, and what helps against that. */
function notConnected(
  { url, naming = 'settings' }: BrokerOptions,
  { text, remedy }: ConnectionCause,
  cause: unknown,
): PeltonError {
  return new PeltonError(
    'broker-unavailable',
    `no connection to the broker: ${text}`,
    { field: nameOf('url', naming), value: withoutSecrets(url), remedy },
    cause,
  )
}

function checkVersion(connection: NatsConnection, { url, naming = 'settings' }: BrokerOptions): void {
  const version = connection.info?.version ?? 'unknown'
  if (isVersionAtLeast(version, MINIMUM_SERVER)) return
  throw new PeltonError(
    'broker-too-old',
    `nats-server ${version} answers, Pelton needs ${MINIMUM_SERVER} or newer`,
    {
      field: nameOf('url', naming),
      value: withoutSecrets(url),
      remedy:
        naming === 'settings'
          ? 'Upgrade the broker, or leave PELTON_NATS_URL unset to use the embedded one.'
          : 'Upgrade the broker, or name another.',
    },
  )
}

/** A broker address for people: user, password and token removed. */
export function withoutSecrets(url: string): string {
  return url.replace(/(^|,)(\s*)([a-z]+:\/\/)?[^,]*@/gi, '$1$2$3***@')
}
