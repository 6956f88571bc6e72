import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, nkeys } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import type { SecurityOptions } from '../../shared/sdk/jetstream/security.ts'
import type { ConnectionTrouble } from '../../shared/sdk/jetstream/trouble.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { createAuthority, serverTls } from '../kit/certificates.ts'
import { createTestOperator } from '../kit/operator.ts'
import { type SecuredServerOptions, startSecuredServer } from '../kit/secured-server.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { mutualTls, PASSWORD, put } from './security-forms.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-refusals-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const SECOND_MS = 1_000
const USERS = `authorization { users: [{ user: app, password: ${PASSWORD} }] }`
let folders = 0
const ownFolder = (): string => join(folder, String(folders++))

interface Wrong extends SecuredServerOptions {
  readonly options: SecurityOptions
  readonly env: NodeJS.ProcessEnv
  readonly host?: string
}

/** What is wrong, and the sentence and setting that must come. */
const WRONG: Readonly<
  Record<string, readonly [make: () => Promise<Wrong>, sentence: RegExp, setting: string]>
> = {
  'no authority for a private one': [
    async () => ({ ...(await ofAuthority()), options: {}, env: {} }),
    /signed by an authority that is not known here \(unable to (?:verify the first|get local issuer) certificate/,
    'PELTON_NATS_TLS_CA',
  ],
  'another authority': [
    async () => {
      const other = await createAuthority(await made(), 'other')
      const env = { PELTON_NATS_TLS_CA: other.file }
      return { ...(await ofAuthority()), options: { tls: { caFile: other.file } }, env }
    },
    /signed by an authority that is not known here/,
    'PELTON_NATS_TLS_CA',
  ],
  'another host name': [
    async () => {
      const { config, authority } = await ofAuthority(['broker.example'])
      return { config, ...trusting(authority.file), host: 'tls://localhost' }
    },
    /the broker's certificate is for another host name \(.*broker\.example/,
    'PELTON_NATS_URL',
  ],
  'a certificate of the broker that has expired': [
    async () => {
      const authority = await createAuthority(await made())
      const { cert, key } = await authority.issue('old', { until: new Date(Date.now() - 60 * SECOND_MS) })
      const config = `tls { cert_file: ${JSON.stringify(cert)}, key_file: ${JSON.stringify(key)} }`
      return { config, ...trusting(authority.file), host: 'tls://localhost' }
    },
    /the broker's certificate is not valid now \(certificate has expired/,
    'Renew the certificate of the broker',
  ],
  'no client certificate': [
    async () => {
      const { config, host = '', options } = await mutualTls(await made())
      return { config, host, ...trusting(options.tls?.caFile ?? '') }
    },
    /the broker asks for a client certificate/,
    'PELTON_NATS_TLS_CERT',
  ],
  'a client certificate of another authority': [
    async () => {
      const { config, host = '', options } = await mutualTls(await made())
      const own = await (await createAuthority(await made(), 'other')).issue('stranger')
      const caFile = options.tls?.caFile ?? ''
      return {
        ...{ config, host, options: { tls: { caFile, certFile: own.cert, keyFile: own.key } } },
        env: { PELTON_NATS_TLS_CA: caFile, PELTON_NATS_TLS_CERT: own.cert, PELTON_NATS_TLS_KEY: own.key },
      }
    },
    /the broker does not take this client certificate/,
    'PELTON_NATS_TLS_CERT',
  ],
  'TLS for a broker without': [
    async () => ({ config: USERS, options: {}, env: {}, host: `tls://app:${PASSWORD}@127.0.0.1` }),
    /the broker has no TLS \(server does not support 'tls'/,
    'PELTON_NATS_URL',
  ],
  'TLS first for a broker that greets': [
    async () => {
      const { config, authority } = await ofAuthority()
      const tls = { caFile: authority.file, handshakeFirst: true }
      const env = { PELTON_NATS_TLS_CA: authority.file, PELTON_NATS_TLS_FIRST: 'true' }
      return { config, options: { tls }, env, host: 'tls://localhost' }
    },
    /the broker speaks without TLS at first/,
    'PELTON_NATS_TLS_FIRST',
  ],
  'a broker that wants TLS first': [
    async () => {
      const { config, authority } = await ofAuthority(['localhost'], 'handshake_first: true')
      return { config, ...trusting(authority.file), host: 'tls://localhost' }
    },
    /the broker says nothing, as one does that expects TLS first/,
    'PELTON_NATS_TLS_FIRST',
  ],
  'a wrong password': [
    async () => ({
      config: USERS,
      options: { user: 'app', password: 'wrong' },
      env: { PELTON_NATS_USER: 'app', PELTON_NATS_PASSWORD: 'wrong' },
    }),
    /does not know this user with this password \('?Authorization Violation/,
    'PELTON_NATS_PASSWORD',
  ],
  'nothing that says who this is': [
    async () => ({ config: USERS, options: {}, env: {} }),
    /the broker asks who this is, and nothing says so \('?Authorization Violation/,
    'PELTON_NATS_CREDS',
  ],
  'an nkey the broker does not know': [
    async () => {
      const nkeyFile = await put(ownFolder(), 'nk', Buffer.from(nkeys.createUser().getSeed()).toString())
      const known = nkeys.createUser().getPublicKey()
      const config = `authorization { users: [{ nkey: ${known} }] }`
      return { config, options: { nkeyFile }, env: { PELTON_NATS_NKEY: nkeyFile } }
    },
    /the broker does not know this nkey/,
    'PELTON_NATS_NKEY',
  ],
  'credentials that have expired': [
    () => credentials({ until: new Date(Date.now() - 60 * SECOND_MS) }),
    /the credentials have expired, at 20\S+Z \('?Authorization Violation/,
    'PELTON_NATS_CREDS',
  ],
  'credentials of another operator': [
    async () => ({ ...(await credentials()), config: createTestOperator().config() }),
    /does not take these credentials: their operator or account is another, or they are revoked/,
    'PELTON_NATS_CREDS',
  ],
  'an account without JetStream': [
    () => credentials({}, false),
    /JetStream is not enabled for this account \(/,
    'Enable JetStream',
  ],
  'a broker without JetStream': [
    async () => ({ config: '', hasJetStream: false, options: {}, env: {} }),
    /nobody answers for it: JetStream is off, not enabled for this account, or in a domain/,
    'PELTON_NATS_DOMAIN',
  ],
  'another domain': [
    async () => ({
      config: '',
      domain: 'hub',
      options: { domain: 'hup' },
      env: { PELTON_NATS_DOMAIN: 'hup' },
    }),
    /no JetStream answers for the domain hup/,
    'PELTON_NATS_DOMAIN',
  ],
  'no right to the inbox': [
    () => restricted('publish: ">", subscribe: ["_INBOX.other.>"]'),
    /this user may not listen to _INBOX\.app\.\S+ \(.*Permissions Violation/,
    'PELTON_NATS_INBOX_PREFIX',
  ],
  'no right to ask for the account': [
    () => restricted('publish: { deny: "$JS.API.INFO" }, subscribe: ">"'),
    /this user may not publish to \$JS\.API\.INFO \(.*Permissions Violation/,
    'Give the user this right',
  ],
}

async function made(): Promise<string> {
  const own = ownFolder()
  await put(own, 'made', '')
  return own
}

async function ofAuthority(hosts: readonly string[] = ['localhost'], more = '') {
  const authority = await createAuthority(await made())
  return { config: await serverTls(authority, more, hosts), authority, host: 'tls://localhost' }
}

function trusting(caFile: string) {
  return { options: { tls: { caFile } }, env: { PELTON_NATS_TLS_CA: caFile } }
}

async function credentials(user: { readonly until?: Date } = {}, hasJetStream = true): Promise<Wrong> {
  const operator = createTestOperator()
  const credsFile = await put(ownFolder(), 'user.creds', operator.user(user).creds)
  const env = { PELTON_NATS_CREDS: credsFile }
  return { config: operator.config({ hasJetStream }), options: { credsFile }, env }
}

async function restricted(permissions: string): Promise<Wrong> {
  return {
    config: `authorization { users: [{ user: app, password: ${PASSWORD}, permissions: { ${permissions} } }] }`,
    options: { user: 'app', password: PASSWORD },
    env: { PELTON_NATS_USER: 'app', PELTON_NATS_PASSWORD: PASSWORD },
  }
}

describe('a connection that is not made says why, and which setting to change:', () => {
  test.each(Object.entries(WRONG))('%s', async (_what, [make, sentence, setting]) => {
    const { host = 'nats://127.0.0.1', options, env, ...server } = await make()
    const { port, stop } = await startSecuredServer(server)
    onTestFinished(stop)
    const url = `${host}:${port}`
    const refused = await connectBroker({ url, name: 'test', ...options, timeoutMs: 5_000 }).then(
      (connection) => connection.close().then(() => expect.fail('it connected')),
      (thrown: unknown) => thrown as PeltonError,
    )
    expect(refused).toBeInstanceOf(PeltonError)
    expect(refused.code).toBe('broker-unavailable')
    expect(refused.description).toMatch(sentence)
    expect(refused.details.remedy).toContain(setting)
    expect(refused.message).not.toContain(PASSWORD)
    const doctor = await runCli(['doctor'], { env: { ...env, PELTON_NATS_URL: url } })
    expect(doctor.code).toBe(1)
    expect(doctor.out).toMatch(sentence)
    expect(doctor.out).toContain(setting)
  })

  test('the package calls its options by their names', async () => {
    const { config, domain } = { config: '', domain: 'hub' }
    const { port, stop } = await startSecuredServer({ config, domain })
    onTestFinished(stop)
    const url = `nats://127.0.0.1:${port}`
    const refused = createProducer({ url, source: 'test', domain: 'hup', connectTimeoutMs: 5_000 })
    await expect(refused).rejects.toMatchObject({
      code: 'broker-unavailable',
      details: { field: 'url', remedy: expect.stringMatching(/^Set domain to /) },
    })
    // Also those of a connection that is handed in, which the package did not open.
    const connection = await connect({ servers: url })
    onTestFinished(() => connection.close())
    await expect(createSubscriber({ connection, domain: 'hup' })).rejects.toMatchObject({
      code: 'broker-unavailable',
      details: { remedy: expect.stringMatching(/^Set domain to /) },
    })
  })
})

describe('files that cannot be used are told by setting and path, before anything is dialled:', () => {
  test.each<[string, (own: string) => Promise<SecurityOptions>, string, RegExp]>([
    [
      'missing credentials',
      async (own) => ({ credsFile: join(own, 'none') }),
      'PELTON_NATS_CREDS',
      /cannot be read: ENOENT/,
    ],
    [
      'credentials that are none',
      async (own) => ({ credsFile: await put(own, 'creds', 'SUSECRET') }),
      'PELTON_NATS_CREDS',
      /holds no credentials/,
    ],
    [
      'an nkey that is none',
      async (own) => ({ nkeyFile: await put(own, 'nk', 'SUSECRET') }),
      'PELTON_NATS_NKEY',
      /holds no seed/,
    ],
    [
      'an empty password',
      async (own) => ({ user: 'a', passwordFile: await put(own, 'empty', '\n') }),
      'PELTON_NATS_PASSWORD_FILE',
      /is empty/,
    ],
    [
      'an authority that is none',
      async (own) => ({ tls: { caFile: await put(own, 'ca', 'SUSECRET') } }),
      'PELTON_NATS_TLS_CA',
      /holds no certificate/,
    ],
    [
      'the key of another certificate',
      async (own) => {
        const authority = await createAuthority(own)
        const [one, other] = [await authority.issue('one'), await authority.issue('other')]
        return { tls: { certFile: one.cert, keyFile: other.key } }
      },
      'PELTON_NATS_TLS_KEY',
      /is not that of the client certificate/,
    ],
    [
      'a key that is none',
      async (own) => {
        const { cert } = await (await createAuthority(own)).issue('one')
        return { tls: { certFile: cert, keyFile: await put(own, 'key', 'SUSECRET') } }
      },
      'PELTON_NATS_TLS_KEY',
      /holds no key that can be used/,
    ],
  ])('%s', async (_what, make, field, text) => {
    const options = await make(await made())
    const refused = connectBroker({ url: 'nats://127.0.0.1:1', name: 'test', ...options })
    await expect(refused).rejects.toMatchObject({ code: 'invalid-configuration', details: { field } })
    await expect(refused).rejects.toThrow(text)
    await expect(refused).rejects.toThrow(/^(?!.*SUSECRET)/s)
  })
})

test('a producer that may not publish is told so with its event', async () => {
  const { config, options, env } = await restricted('publish: { deny: "features.>" }, subscribe: ">"')
  const { port, stop } = await startSecuredServer({ config })
  onTestFinished(stop)
  const url = `nats://127.0.0.1:${port}`
  expect((await runCli(['provision'], { env: { ...env, PELTON_NATS_URL: url } })).code).toBe(0)
  const producer = await createProducer({ url, ...options, source: 'test', ackTimeoutMs: 500, retryForMs: 1 })
  onTestFinished(() => producer.close())
  await expect(producer.publish({ model: 'm', features: {} })).rejects.toThrow(
    /this user may not publish to features\.default\.m\.normal \(/,
  )
})

test('a right that is missing later is told once, by its subject', async () => {
  const { config, options } = await restricted('publish: { deny: "features.>" }, subscribe: ">"')
  const { port, stop } = await startSecuredServer({ config })
  onTestFinished(stop)
  const troubles: ConnectionTrouble[] = []
  const connection = await connectBroker({
    ...{ url: `nats://127.0.0.1:${port}`, name: 'test', ...options },
    onTrouble: (trouble) => void troubles.push(trouble),
  })
  onTestFinished(() => connection.close())
  for (const model of ['m', 'n', 'o']) connection.publish(`features.default.${model}.normal`, '{}')
  await requestApi(connection, 'INFO')
  await vi.waitFor(() => expect(troubles).toHaveLength(1), PATIENT)
  expect(troubles[0]).toMatchObject({
    kind: 'refused',
    text: expect.stringContaining('features.default.m.normal'),
  })
})
