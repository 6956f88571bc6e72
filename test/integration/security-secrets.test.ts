import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nkeys } from '@nats-io/transport-node'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createAuthority, keyLines } from '../kit/certificates.ts'
import { latestModels } from '../kit/models-folder.ts'
import { createTestOperator } from '../kit/operator.ts'
import { type SecuredServer, startSecuredServer } from '../kit/secured-server.ts'
import { spawnWorkerProcess } from '../kit/worker-process.ts'
import { runCli, startCli } from './cli-process.ts'
import { put } from './security-forms.ts'

const SECRET = `s3cr3t-${crypto.randomUUID()}`
const USERS = `authorization { users: [{ user: app, password: ${SECRET} }, { user: other, password: other }] }`

let folder: string
let server: SecuredServer
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-secrets-'))
  server = await startSecuredServer({ config: USERS })
})
afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

interface Secretive {
  readonly env: NodeJS.ProcessEnv
  readonly secrets: readonly string[]
  /** What stands before the host in the address. */
  readonly userInfo?: string
}

const seedOf = (): string => Buffer.from(nkeys.createUser().getSeed()).toString()

/** Every kind of secret, in a process that the broker does not let in. */
const SECRETIVE: Readonly<Record<string, () => Promise<Secretive>>> = {
  'a password': async () => ({
    env: { PELTON_NATS_USER: 'nobody', PELTON_NATS_PASSWORD: SECRET },
    secrets: [SECRET],
  }),
  'a password without its user': async () => ({ env: { PELTON_NATS_PASSWORD: SECRET }, secrets: [SECRET] }),
  'a password in a file': async () => ({
    env: { PELTON_NATS_USER: 'nobody', PELTON_NATS_PASSWORD_FILE: await put(folder, 'password', SECRET) },
    secrets: [SECRET],
  }),
  'a token': async () => ({ env: { PELTON_NATS_TOKEN: SECRET }, secrets: [SECRET] }),
  'a token beside a password': async () => ({
    env: { PELTON_NATS_TOKEN: SECRET, PELTON_NATS_USER: 'nobody', PELTON_NATS_PASSWORD: `${SECRET}2` },
    secrets: [SECRET],
  }),
  'a password in the address': async () => ({ env: {}, secrets: [SECRET], userInfo: `nobody:${SECRET}@` }),
  'a token in the address': async () => ({ env: {}, secrets: [SECRET], userInfo: `${SECRET}@` }),
  'an nkey': async () => {
    const seed = seedOf()
    return { env: { PELTON_NATS_NKEY: await put(folder, 'nk', seed) }, secrets: [seed] }
  },
  'an nkey in place of its path': async () => {
    const seed = seedOf()
    return { env: { PELTON_NATS_NKEY: seed }, secrets: [seed] }
  },
  credentials: async () => {
    const { creds, seed } = createTestOperator().user()
    return { env: { PELTON_NATS_CREDS: await put(folder, 'creds', creds) }, secrets: secretsIn(creds, seed) }
  },
  'credentials in place of their path': async () => {
    const { creds, seed } = createTestOperator().user()
    return { env: { PELTON_NATS_CREDS: creds }, secrets: secretsIn(creds, seed) }
  },
  'the key of a client certificate': async () => {
    const { cert, key } = await (await createAuthority(folder)).issue('client')
    const secrets = keyLines(await readFile(key, 'utf8'))
    return { env: { PELTON_NATS_TLS_CERT: cert, PELTON_NATS_TLS_KEY: key }, secrets }
  },
}

function secretsIn(creds: string, seed: string): readonly string[] {
  const [jwt = ''] = /eyJ\S+/.exec(creds) ?? []
  return [seed, jwt]
}

const COMMANDS = [
  ['doctor', '--json'],
  ['provision'],
  ['status'],
  ['up', '--no-control'],
  ['publish', 'flight-delay'],
  ['settings'],
]

test.each(Object.entries(SECRETIVE))('%s is seen in nothing that a process says', async (_what, make) => {
  const { env: given, secrets, userInfo = '' } = await make()
  expect(secrets.length).toBeGreaterThan(0)
  const env = {
    ...given,
    PELTON_NATS_URL: `nats://${userInfo}127.0.0.1:${server.port}`,
    PELTON_LOG_LEVEL: 'debug',
  }
  const said: string[] = []
  for (const command of COMMANDS) {
    const { code, out, err } = await runCli(command, { env })
    expect([command[0], code === 0]).toEqual([command[0], command[0] === 'settings'])
    said.push(out, err)
  }
  const worker = spawnWorkerProcess({ url: env.PELTON_NATS_URL, models: latestModels(), env })
  expect(await worker.ended).not.toBe(0)
  said.push(JSON.stringify(worker.log))
  for (const secret of secrets) expect(said.join('\n')).not.toContain(secret)
})

test.skipIf(!existsSync('/proc/self/cmdline'))('no process has a secret in its arguments', async () => {
  const url = `nats://app:${SECRET}@127.0.0.1:${server.port}`
  const env = { PELTON_NATS_URL: url, PELTON_CONTROL_PORT: '0', PELTON_DATA: join(folder, 'data') }
  const up = startCli(['up', '--models', latestModels()], { env })
  onTestFinished(async () => {
    up.child.kill('SIGKILL')
    await up.ended
  })
  await up.until('takes events')
  await up.until('control: ')
  const lines = await commandLines()
  expect(lines.some((line) => line.includes('worker/main'))).toBe(true)
  expect(lines.filter((line) => line.includes(SECRET))).toEqual([])
  up.child.kill('SIGINT')
  expect(await up.ended, up.out() + up.err()).toBe(0)
  expect(up.out() + up.err()).not.toContain(SECRET)
})

async function commandLines(): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const files = pids.flatMap((pid) => [`/proc/${pid}/cmdline`, `/proc/${pid}/comm`])
  return Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')))
}
