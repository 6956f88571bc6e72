import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nkeys } from '@nats-io/transport-node'
import type { ConnectionOptions } from '../../shared/sdk/link.ts'
import { createAuthority, serverTls } from '../kit/certificates.ts'
import { createTestOperator } from '../kit/operator.ts'
import type { SecuredServerOptions } from '../kit/secured-server.ts'

/** A way to keep a broker to oneself: what its server has, what processes are set to, what the package is given. */
export interface Form extends SecuredServerOptions {
  readonly env: NodeJS.ProcessEnv
  readonly options: Omit<ConnectionOptions, 'connection'>
  /** @default nats://127.0.0.1 */
  readonly host?: string
  /** What must not be seen anywhere. */
  readonly secrets: readonly string[]
}

export const PASSWORD = 'correct-horse-battery'
const INBOX = 'acme.inbox'

/** Each form, made in a folder of its own. */
export const FORMS: Readonly<Record<string, (folder: string) => Promise<Form>>> = {
  'credentials file, operator mode': withCredentials,
  nkey: async (folder) => {
    const pair = nkeys.createUser()
    const seed = Buffer.from(pair.getSeed()).toString()
    const nkeyFile = await put(folder, 'user.nk', `${seed}\n`)
    const config = `authorization { users: [{ nkey: ${pair.getPublicKey()} }] }`
    return { config, env: { PELTON_NATS_NKEY: nkeyFile }, options: { nkeyFile }, secrets: [seed] }
  },
  'user and password from files': async (folder) => {
    const userFile = await put(folder, 'user', 'app')
    const passwordFile = await put(folder, 'password', `${PASSWORD}\n`)
    return {
      config: `authorization { users: [{ user: app, password: ${PASSWORD} }] }`,
      env: { PELTON_NATS_USER_FILE: userFile, PELTON_NATS_PASSWORD_FILE: passwordFile },
      options: { userFile, passwordFile },
      secrets: [PASSWORD],
    }
  },
  'token from a file': async (folder) => {
    const tokenFile = await put(folder, 'token', PASSWORD)
    const config = `authorization { token: ${PASSWORD} }`
    return { config, env: { PELTON_NATS_TOKEN_FILE: tokenFile }, options: { tokenFile }, secrets: [PASSWORD] }
  },
  'user and password in the address': async () => ({
    config: `authorization { users: [{ user: app, password: ${PASSWORD} }] }`,
    env: {},
    options: {},
    host: `nats://app:${PASSWORD}@127.0.0.1`,
    secrets: [PASSWORD],
  }),
  'TLS of a private authority': async (folder) => {
    const authority = await createAuthority(folder)
    return {
      config: await serverTls(authority),
      env: { PELTON_NATS_TLS_CA: authority.file },
      options: { tls: { caFile: authority.file } },
      host: 'tls://localhost',
      secrets: [],
    }
  },
  'client certificate, at an IP address': mutualTls,
  'TLS first': async (folder) => {
    const authority = await createAuthority(folder)
    return {
      config: await serverTls(authority, 'handshake_first: true'),
      env: { PELTON_NATS_TLS_CA: authority.file, PELTON_NATS_TLS_FIRST: 'true' },
      options: { tls: { caFile: authority.file, handshakeFirst: true } },
      host: 'tls://localhost',
      secrets: [],
    }
  },
  'JetStream domain': inDomain,
  'inbox prefix, and no right to any other inbox': async () => ({
    config: `authorization { users: [{ user: app, password: ${PASSWORD}, permissions: {
      publish: ">", subscribe: ["${INBOX}.>", "pelton.flow.*.*", "$JS.EVENT.ADVISORY.CONSUMER.>"] } }] }`,
    env: {
      ...{ PELTON_NATS_USER: 'app', PELTON_NATS_PASSWORD: PASSWORD },
      ...{ PELTON_NATS_INBOX_PREFIX: INBOX, PELTON_REPLY_PREFIXES: INBOX },
    },
    options: { user: 'app', password: PASSWORD, inboxPrefix: INBOX },
    secrets: [PASSWORD],
  }),
}

export async function withCredentials(folder: string): Promise<Form> {
  const operator = createTestOperator()
  const user = operator.user()
  const credsFile = await put(folder, 'user.creds', user.creds)
  const secrets = [user.seed, user.creds.split('\n')[1] ?? '']
  return { config: operator.config(), env: { PELTON_NATS_CREDS: credsFile }, options: { credsFile }, secrets }
}

export async function inDomain(): Promise<Form> {
  return {
    ...{ config: '', domain: 'hub' },
    ...{ env: { PELTON_NATS_DOMAIN: 'hub' }, options: { domain: 'hub' }, secrets: [] },
  }
}

/** Both show a certificate, and the broker has no name. */
export async function mutualTls(folder: string): Promise<Form> {
  const authority = await createAuthority(folder)
  const client = await authority.issue('client')
  const env = {
    PELTON_NATS_TLS_CA: authority.file,
    PELTON_NATS_TLS_CERT: client.cert,
    PELTON_NATS_TLS_KEY: client.key,
  }
  return {
    config: await serverTls(authority, `verify: true, ca_file: ${JSON.stringify(authority.file)}`, [
      '127.0.0.1',
    ]),
    env,
    options: { tls: { caFile: authority.file, certFile: client.cert, keyFile: client.key } },
    host: 'tls://127.0.0.1',
    secrets: [],
  }
}

export async function put(folder: string, name: string, text: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, name)
  await writeFile(path, text, { mode: 0o600 })
  return path
}

export function urlOf({ host = 'nats://127.0.0.1' }: Pick<Form, 'host'>, port: number): string {
  return `${host}:${port}`
}
