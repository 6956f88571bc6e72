import { closeSync, openSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ConnectionOptions, credsAuthenticator, type NatsConnection } from '@nats-io/nats-core'
import { connect } from '@nats-io/transport-node'
import { vi } from 'vitest'
import { renderAccountsFile } from '../../shared/operations/rights/accounts-file.ts'
import { passwordVariable } from '../../shared/operations/rights/options.ts'
import { allUsers, rightsOf } from '../../shared/operations/rights/rights.ts'
import type { Rights } from '../../shared/operations/rights/table.ts'
import { spawnGuard } from '../../shared/sdk/broker/guard.ts'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'
import { waitUntilReady } from '../../shared/sdk/broker/readiness.ts'
import { freePorts } from '../kit/ports.ts'
import { createOperatorMode } from './operator-mode.ts'
import type { Form } from './rights-forms.ts'

const INFRA = fileURLToPath(new URL('../../infra/nats', import.meta.url))

/** What the SDK takes to log in as a user. */
export interface SdkLogin {
  readonly url: string
  readonly user?: string
  readonly password?: string
  readonly credsFile?: string
  readonly inboxPrefix?: string
}

/** A server that knows the users of some rights, and how they log in. */
export interface RightsServer {
  readonly url: string
  readonly monitorUrl: string
  /** A plain connection: whatever it may not do, the server has to say. */
  connect(user: string): Promise<NatsConnection>
  loginOf(user: string): SdkLogin
  envOf(user: string): NodeJS.ProcessEnv
  /** Those who must not get in, and what they come with. */
  readonly strangers: Readonly<Record<string, ConnectionOptions>>
  log(): Promise<string>
  stop(): Promise<void>
}

export interface RightsServerOptions {
  readonly rights: Rights
  readonly mode: 'accounts' | 'operator'
  /** The accounts in place of those of the rights: a file as it is. */
  readonly accounts?: string
  /** Domain of JetStream. */
  readonly domain?: string
}

const passwordOf = (user: string): string => `of-${user} #1`

/** Starts the server of a form of rights. */
export function startServerOf({ options, mode, accounts }: Form): Promise<RightsServer> {
  return startRightsServer({
    rights: rightsOf(options),
    mode,
    ...(accounts !== undefined && { accounts }),
    ...(options.domain !== undefined && { domain: options.domain }),
  })
}

/** Starts a server with `infra/nats/server.conf`; only addresses, folder, accounts and passwords are ours. */
export async function startRightsServer(options: RightsServerOptions): Promise<RightsServer> {
  const dir = await mkdtemp(join(tmpdir(), 'pelton-rights-'))
  const users = allUsers(options.rights)
  const ways = options.mode === 'accounts' ? await passwordWays(dir, options) : await credsWays(dir, options)
  const [port = 0, httpPort = 0] = await freePorts(2)
  const env: NodeJS.ProcessEnv = {
    NATS_LISTEN: `"127.0.0.1:${port}"`,
    NATS_HTTP: `"127.0.0.1:${httpPort}"`,
    NATS_STORE: JSON.stringify(dir),
    ...Object.fromEntries(
      users.map(({ user }) => [passwordVariable(user), JSON.stringify(passwordOf(user))]),
    ),
  }
  const server = await runServer(dir, env, options.domain)
  const url = `nats://127.0.0.1:${port}`
  const inboxOf = (user: string): string => {
    const found = users.find((each) => each.user === user)
    if (found === undefined) throw new Error(`there is no user ${user}`)
    return found.inbox
  }
  return {
    url,
    monitorUrl: `http://127.0.0.1:${httpPort}`,
    connect: (user) =>
      connect({ servers: url, reconnect: false, inboxPrefix: inboxOf(user), ...ways.options(user) }),
    loginOf: (user) => ({ url, ...ways.login(user, inboxOf(user)) }),
    envOf: (user) => ({ PELTON_NATS_URL: url, USER: 'ops', ...ways.env(user, inboxOf(user)) }),
    strangers: ways.strangers,
    ...server,
  }
}

/** How users of one mode log in. */
interface Ways {
  options(user: string): ConnectionOptions
  login(user: string, inbox: string): Omit<SdkLogin, 'url'>
  env(user: string, inbox: string): NodeJS.ProcessEnv
  readonly strangers: Readonly<Record<string, ConnectionOptions>>
}

async function passwordWays(dir: string, { rights, accounts }: RightsServerOptions): Promise<Ways> {
  await writeFile(join(dir, 'accounts.conf'), accounts ?? renderAccountsFile(rights))
  const [first = ''] = allUsers(rights).map(({ user }) => user)
  return {
    options: (user) => ({ user, pass: passwordOf(user) }),
    login: (user, inbox) => ({
      user,
      password: passwordOf(user),
      ...(inbox !== `_INBOX.${user}` && { inboxPrefix: inbox }),
    }),
    env: (user, inbox) => ({
      PELTON_NATS_USER: user,
      PELTON_NATS_PASSWORD: passwordOf(user),
      ...(inbox !== `_INBOX.${user}` && { PELTON_NATS_INBOX_PREFIX: inbox }),
    }),
    strangers: {
      nobody: {},
      'a user with the password of another': { user: first, pass: passwordOf('worker') },
      'an unknown user': { user: 'route', pass: 'x' },
    },
  }
}

async function credsWays(dir: string, { rights }: RightsServerOptions): Promise<Ways> {
  const mode = await createOperatorMode(rights)
  await writeFile(join(dir, 'accounts.conf'), mode.serverConfig)
  const files = new Map<string, string>()
  for (const [user, creds] of mode.creds) {
    files.set(user, join(dir, `${user}.creds`))
    await writeFile(join(dir, `${user}.creds`), creds)
  }
  const fileOf = (user: string): string => files.get(user) ?? ''
  const authenticated = (creds: Uint8Array | undefined): ConnectionOptions => ({
    authenticator: credsAuthenticator(creds ?? new Uint8Array()),
  })
  return {
    options: (user) => authenticated(mode.creds.get(user)),
    login: (user, inboxPrefix) => ({ credsFile: fileOf(user), inboxPrefix }),
    env: (user, inbox) => ({ PELTON_NATS_CREDS: fileOf(user), PELTON_NATS_INBOX_PREFIX: inbox }),
    strangers: {
      nobody: {},
      'a user with a password': { user: 'admin', pass: passwordOf('admin') },
      'a user whose signing key the account does not name': authenticated(mode.forged),
      'a user whose time is over': authenticated(mode.expired),
    },
  }
}

async function runServer(dir: string, env: NodeJS.ProcessEnv, domain: string | undefined) {
  const { path: binary } = await ensureBroker()
  await copyFile(join(INFRA, 'server.conf'), join(dir, 'server.conf'))
  const configPath = join(dir, 'test.conf')
  const inDomain = domain === undefined ? '' : `jetstream { domain: ${domain}, store_dir: $NATS_STORE }\n`
  await writeFile(configPath, `ports_file_dir: ${JSON.stringify(dir)}\ninclude "server.conf"\n${inDomain}`)
  const logPath = join(dir, 'server.log')
  const logFd = openSync(logPath, 'w')
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  const guard = spawnGuard({ server: binary, configPath, logFd, temporaryDir: dir })
  vi.unstubAllEnvs()
  closeSync(logFd)
  const exited = new Promise<void>((resolve) => guard.once('exit', () => resolve()))
  const log = (): Promise<string> => readFile(logPath, 'utf8')
  await waitUntilReady(dir, exited).catch(async (cause: unknown) => {
    throw new Error(`the server did not start:\n${await log()}`, { cause })
  })
  const stop = async (): Promise<void> => {
    guard.ref()
    guard.stdin?.end()
    await exited
  }
  return { log, stop }
}
