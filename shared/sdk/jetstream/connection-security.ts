import { errors, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node'
import { PeltonError } from '../errors.ts'
import { type CauseContext, type ConnectionCause, explainConnection } from './connection-cause.ts'
import { openAuthenticator, readAuthenticator, userOf } from './credentials.ts'
import { probeHandshake } from './handshake-probe.ts'
import { checkSecurity, inboxOf, type Naming, type SecurityOptions, splitUrl } from './security.ts'
import { clientTls, hostOf, readTlsFiles } from './tls-files.ts'
import type { OnTrouble } from './trouble.ts'

/** The security of a connection, opened: its files were read once. */
export interface ConnectionSecurity {
  /** For the client: addresses, who this is, TLS, inboxes. */
  readonly settings: NodeConnectionOptions
  /** Why something of the connection failed, by what was thrown. */
  explain(thrown: unknown): ConnectionCause
  /** The same for a connection that was not made: files and broker are asked where what was thrown says nothing. */
  causeOf(thrown: unknown): Promise<ConnectionCause>
  /** Connects once by `connect` and says why that fails; undefined where it does not. */
  findCause(connect: () => Promise<NatsConnection>): Promise<ConnectionCause | undefined>
}

export interface OpenSecurityOptions extends SecurityOptions {
  readonly url: string
  readonly naming?: Naming | undefined
  readonly onTrouble?: OnTrouble | undefined
}

/**
 * Checks the options, and that every file can be used now.
 *
 * @throws PeltonError `invalid-configuration`, or `invalid-argument` with `naming` `options`
 */
export function openSecurity(options: OpenSecurityOptions): ConnectionSecurity {
  const { naming = 'settings', onTrouble } = options
  checkSecurity(options, naming)
  const { servers, isTls } = splitUrl(options.url)
  const tls = options.tls ?? (isTls ? {} : undefined)
  const hosts = servers.map(hostOf)
  if (tls !== undefined) readTlsFiles(tls, naming)
  const authenticator = openAuthenticator(options, naming, (thrown) =>
    onTrouble?.({ kind: 'file', ...problemOf(thrown, { options, naming }) }),
  )
  const user = userOf(options, naming)
  const inboxPrefix = options.inboxPrefix ?? (user === undefined ? undefined : inboxOf(user))
  const context: CauseContext = { options, naming }
  const explain = (thrown: unknown): ConnectionCause => explainConnection(thrown, context)
  const causeOf = async (thrown: unknown): Promise<ConnectionCause> => {
    const file = fileProblem(options, naming)
    if (file !== undefined) return { text: `${file.text}; ${explain(thrown).text}`, remedy: file.remedy }
    const said = isWordless(thrown) ? await askServers() : undefined
    return explain(said ?? thrown)
  }
  /** What the first server that refuses a handshake says. */
  async function askServers(): Promise<unknown> {
    const files = tls === undefined ? undefined : readTlsFiles(tls, naming)
    const shown = files && { ...files, handshakeFirst: tls?.handshakeFirst === true }
    const said = await Promise.all(servers.map((address) => probeHandshake({ address, hosts, tls: shown })))
    return said.find((each) => each !== undefined)
  }
  return {
    settings: {
      servers: [...servers],
      ...(authenticator !== undefined && { authenticator }),
      ...(tls !== undefined && { tls: clientTls(tls, hosts) }),
      ...(inboxPrefix !== undefined && { inboxPrefix }),
    },
    explain,
    causeOf,
    findCause: (connect) =>
      connect().then(
        async (connection) => {
          await connection.close()
          return undefined
        },
        (thrown: unknown) => causeOf(thrown),
      ),
  }
}

/** What the client throws where it waited in vain, or the other end closed without a word. */
function isWordless(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return true
  return thrown instanceof errors.TimeoutError || /undefined error|^timeout$/i.test(thrown.message)
}

/** What is wrong with a file now. */
function fileProblem(options: OpenSecurityOptions, naming: Naming): ConnectionCause | undefined {
  try {
    readAuthenticator(options, naming)
    if (options.tls !== undefined) readTlsFiles(options.tls, naming)
    return undefined
  } catch (thrown) {
    return problemOf(thrown, { options, naming })
  }
}

function problemOf(thrown: unknown, context: CauseContext): ConnectionCause {
  if (!(thrown instanceof PeltonError)) return explainConnection(thrown, context)
  const { remedy = '' } = thrown.details
  return { text: thrown.description.replace(`. ${remedy}`, ''), remedy }
}
