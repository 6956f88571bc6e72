import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  connect as connectNats,
  type NatsConnection,
  PermissionViolationError,
} from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { spawnGuard } from '../../shared/sdk/broker/guard.ts'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'
import { waitUntilReady } from '../../shared/sdk/broker/readiness.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { askServer } from '../../shared/sdk/jetstream/quorum-probe.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { freePorts } from '../kit/cluster-node.ts'
import { latestModels } from '../kit/models-folder.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli, startCli } from './cli-process.ts'

const INFRA = fileURLToPath(new URL('../../infra/nats', import.meta.url))
const ROLES = ['admin', 'control', 'worker', 'producer', 'subscriber', 'monitor'] as const
type Role = (typeof ROLES)[number]

const passwordOf = (role: string): string => `of-${role} #1`

let server: { readonly url: string; log(): Promise<string>; stop(): Promise<void> }
const connections = new Map<Role, NatsConnection>()
const refusals = new Map<Role, PermissionViolationError[]>()

beforeAll(async () => {
  server = await startServer()
  for (const role of ROLES) {
    connections.set(role, await connectAs(role))
    void collectRefusals(role)
  }
})
afterAll(async () => {
  await Promise.all([...connections.values()].map((connection) => connection.close()))
  await server?.stop()
})

/** A server with the very files that docker-compose.yml mounts; only addresses, folder and passwords are ours. */
async function startServer() {
  const { path: binary } = await ensureBroker()
  const dir = await mkdtemp(join(tmpdir(), 'pelton-rights-'))
  const [port = 0, httpPort = 0] = await freePorts(2)
  const configPath = join(dir, 'test.conf')
  const include = relative(dir, join(INFRA, 'server.conf'))
  await writeFile(configPath, `ports_file_dir: ${JSON.stringify(dir)}\ninclude ${JSON.stringify(include)}\n`)
  vi.stubEnv('NATS_LISTEN', `"127.0.0.1:${port}"`)
  vi.stubEnv('NATS_HTTP', `"127.0.0.1:${httpPort}"`)
  vi.stubEnv('NATS_STORE', JSON.stringify(dir))
  for (const role of ROLES)
    vi.stubEnv(`NATS_${role.toUpperCase()}_PASSWORD`, JSON.stringify(passwordOf(role)))
  const logPath = join(dir, 'server.log')
  const logFd = openSync(logPath, 'w')
  const guard = spawnGuard({ server: binary, configPath, logFd, temporaryDir: dir })
  closeSync(logFd)
  vi.unstubAllEnvs()
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
  return { url: `nats://127.0.0.1:${port}`, log, stop }
}

/** The monitor's account has no JetStream: only the plain client connects there. */
function connectAs(role: Role): Promise<NatsConnection> {
  const password = passwordOf(role)
  return role === 'monitor'
    ? connectNats({ servers: server.url, user: role, pass: password, inboxPrefix: '_INBOX.monitor' })
    : connectBroker({ url: server.url, name: role, user: role, password })
}

function as(role: Role): NatsConnection {
  const connection = connections.get(role)
  if (connection === undefined) throw new Error(`nobody is connected as ${role}`)
  return connection
}

const login = (role: Role) => ({ url: server.url, user: role, password: passwordOf(role) })

const envOf = (role: Role): NodeJS.ProcessEnv => ({
  PELTON_NATS_URL: server.url,
  PELTON_NATS_USER: role,
  PELTON_NATS_PASSWORD: passwordOf(role),
  USER: 'ops',
})

const GOOD = Buffer.from(JSON.stringify({ features: EXAMPLE_FLIGHT }))
const BAD = Buffer.from('{"features":{"origin":"DTW"}}')

describe('each role under its own user', () => {
  let worker: WorkerProcess | undefined
  afterAll(async () => {
    worker?.kill()
    await worker?.ended
  })

  test('does all of its work, and the server refuses nothing', async () => {
    const provisioned = await runCli(['provision'], { env: envOf('admin') })
    expect(provisioned, provisioned.err).toMatchObject({ code: 0 })
    worker = await startWorkerProcess({ url: server.url, models: latestModels(), env: envOf('worker') })

    const subscriber = await createSubscriber({
      ...login('subscriber'),
      model: 'flight-delay',
      include: 'all',
      from: 'all',
    })
    const producer = await createProducer({ ...login('producer'), source: 'rights' })
    const asked = await producer.request({ model: 'flight-delay', id: 'asked', data: GOOD })
    expect(asked.kind).toBe('prediction')
    const ids = ['a', 'b', 'c', 'd']
    await Promise.all(ids.map((id) => producer.publish({ model: 'flight-delay', id, data: GOOD })))
    await producer.publish({ model: 'flight-delay', id: 'bad', data: BAD })
    const kinds: string[] = []
    for await (const result of subscriber) {
      kinds.push(result.kind)
      result.ack()
      if (kinds.length === 6) break
    }
    await subscriber.close()
    await producer.close()
    expect(kinds.filter((kind) => kind === 'prediction')).toHaveLength(5)
    expect(kinds.filter((kind) => kind === 'failure')).toHaveLength(1)

    const env = envOf('control')
    const service = startCli(['control'], {
      env: { ...env, PELTON_CONTROL_PORT: '0', PELTON_CONTROL_TOKEN: 'x'.repeat(32), PELTON_WATCH_MS: '200' },
    })
    await service.until('"state":"ready"')
    for (const command of [
      ['status'],
      ['dead-letters', 'list'],
      ['replay', 'plan'],
      ['replay', 'start', '--all', '--rate', '1000', '--ramp', '0'],
      ['replay', 'list'],
      ['audit'],
      ['audit', '--deep'],
    ]) {
      const { code, out, err } = await runCli(command, { env })
      expect(code, `${command.join(' ')}\n${out}${err}`).toBe(0)
    }
    const [letter] = (await runCli(['dead-letters', 'list', '--json'], { env })).json()
    const discarded = await runCli(
      ['dead-letters', 'discard', letter.token, '--because', 'a test', '--yes'],
      { env },
    )
    expect(discarded, discarded.err).toMatchObject({ code: 0 })
    expect((await runCli(['audit'], { env })).code).toBe(0)

    service.child.kill('SIGTERM')
    expect(await service.ended, service.err()).toBe(0)
    worker.kill()
    expect(await worker.ended).toBe(0)
    expect((await server.log()).split('\n').filter((line) => /violation|authorization/i.test(line))).toEqual(
      [],
    )
  })
})

describe('a reply subject', () => {
  const stored = async (stream: string): Promise<number> =>
    (await streamInfo(as('admin'), stream))?.state.messages ?? Number.NaN

  test('does not let a producer write a ledger record or an outcome', async () => {
    const before = [await stored(STREAMS.ledger), await stored(STREAMS.results)]
    const waiting = await stored(STREAMS.features)
    for (const reply of ['ledger.default', 'results.flight-delay.forged'])
      as('producer').publish('features.default.flight-delay.low', '{}', { reply })
    await vi.waitUntil(async () => (await stored(STREAMS.features)) === waiting + 2, 10_000)
    await settled()
    expect([await stored(STREAMS.ledger), await stored(STREAMS.results)]).toEqual(before)
  })

  test('does not let a subscriber have a result delivered into the ledger', async () => {
    const before = await stored(STREAMS.ledger)
    const request = (subject: string, body: unknown) =>
      as('subscriber').request(`$JS.API.CONSUMER.${subject}`, JSON.stringify(body), { timeout: 5_000 })
    const common = { filter_subject: 'results.*.*', ack_policy: 'none', inactive_threshold: 60e9 }
    for (const [name, more] of Object.entries({
      pulled: {},
      pushed: { deliver_subject: 'ledger.default' },
    })) {
      const config = { name, ...common, ...more }
      const created = await request(`CREATE.RESULTS.${name}.results.*.*`, { stream_name: 'RESULTS', config })
      expect(created.json()).not.toHaveProperty('error')
    }
    as('subscriber').publish('$JS.API.CONSUMER.MSG.NEXT.RESULTS.pulled', '{"batch":5}', {
      reply: 'ledger.default',
    })
    expect((await request('INFO.RESULTS.pulled', {})).json()).toMatchObject({
      num_pending: expect.any(Number),
    })
    await settled()
    expect(await stored(STREAMS.ledger)).toBe(before)
  })

  /** What a stream takes it takes in the order of arrival: a record of ours behind theirs comes after them. */
  async function settled(): Promise<void> {
    const reply = await as('control').request('$KV.pelton-replays.rights-test', '{}', { timeout: 5_000 })
    expect(reply.json()).toHaveProperty('seq')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
})

/** Acts, and who may do them. The bodies are such that nothing comes of an act that is allowed. */
const ACTS: Readonly<Record<string, readonly Role[]>> = {
  'features.default.m.normal': ['control', 'producer'],
  'features.default.m.urgent': [],
  'retries.default.m.normal.t': ['worker'],
  'retries.other.m.normal.t': [],
  'due.default.m.normal.t': [],
  'results.m.t': ['worker'],
  'deadletters.m.t': ['control', 'worker'],
  'ledger.default': ['control', 'worker'],
  'ledger.other': ['control'],
  'ledger.control': ['control'],
  '_pelton.reply.x': ['worker'],
  'pelton.flow.m': ['worker'],
  '_INBOX.producer.x': ['worker'],
  '_INBOX.control.x': ['worker'],
  '_INBOX.admin.x': [],
  '_INBOX.worker.x': [],
  '_INBOX.subscriber.x': [],
  '$KV.pelton-starts.t': ['worker'],
  '$KV.pelton-starts.removed.t': ['control'],
  '$KV.pelton-models.audit.floor': ['control'],
  '$KV.pelton-models.m': [],
  '$KV.pelton-models.model.default.m': ['control', 'worker'],
  '$KV.pelton-models.worker.default.w': ['worker'],
  '$KV.pelton-models.model.other.m': ['control'],
  '$KV.pelton-models.worker.other.w': [],
  '$KV.pelton-replays.t': ['control'],
  '$O.pelton-artifacts.M.x': [],
  '$JS.API.STREAM.INFO.FEATURES': ['admin', 'control', 'worker', 'producer'],
  '$JS.API.STREAM.INFO.RESULTS': ['admin', 'control', 'worker', 'subscriber'],
  '$JS.API.STREAM.INFO.LEDGER': ['admin', 'control', 'worker'],
  '$JS.API.STREAM.MSG.GET.RESULTS': ['admin', 'control', 'worker', 'producer', 'subscriber'],
  '$JS.API.STREAM.MSG.GET.FEATURES': ['admin', 'control'],
  '$JS.API.STREAM.MSG.GET.DEADLETTERS': ['admin', 'control', 'worker'],
  '$JS.API.STREAM.MSG.GET.LEDGER': ['admin', 'control'],
  '$JS.API.STREAM.CREATE.MINE': ['admin'],
  '$JS.API.STREAM.UPDATE.FEATURES': ['admin'],
  '$JS.API.STREAM.MSG.DELETE.FEATURES': ['admin'],
  '$JS.API.STREAM.MSG.DELETE.RESULTS': ['admin'],
  '$JS.API.STREAM.MSG.DELETE.LEDGER': ['admin'],
  '$JS.API.STREAM.MSG.DELETE.DEADLETTERS': ['admin', 'control'],
  '$JS.API.CONSUMER.CREATE.FEATURES': ['admin'],
  '$JS.API.CONSUMER.CREATE.FEATURES.worker-default-high.features.default.*.high': ['admin'],
  '$JS.API.CONSUMER.CREATE.RESULTS.mine.results.*.*': ['admin', 'control', 'subscriber'],
  '$JS.API.CONSUMER.CREATE.LEDGER': ['admin', 'control'],
  '$JS.API.CONSUMER.CREATE.DEADLETTERS': ['admin', 'control'],
  '$JS.API.CONSUMER.CREATE.KV_pelton-models.f.$KV.pelton-models.*.default.*': ['admin', 'control', 'worker'],
  '$JS.API.CONSUMER.CREATE.KV_pelton-models.f.$KV.pelton-models.*.other.*': ['admin', 'control'],
  '$JS.API.CONSUMER.MSG.NEXT.KV_pelton-models.f': ['admin', 'control', 'worker'],
  '$JS.API.STREAM.MSG.GET.KV_pelton-models': ['admin', 'control', 'worker'],
  '$JS.API.CONSUMER.MSG.NEXT.FEATURES.worker-other-high': ['admin'],
  '$JS.API.CONSUMER.INFO.FEATURES.worker-default-high': ['admin', 'control', 'worker'],
  '$JS.ACK.FEATURES.worker-other-high.1.1.1.1.0': [],
  '$JS.ACK.RESULTS.sub-mine.1.1.1.1.0': ['subscriber'],
}

/** Acts that something comes of whatever the body says: never tried by those who may. */
const DESTRUCTIVE: Readonly<Record<string, readonly Role[]>> = {
  '$JS.API.STREAM.DELETE.FEATURES': ['admin'],
  '$JS.API.STREAM.PURGE.FEATURES': ['admin'],
  '$JS.API.STREAM.PURGE.RETRIES': ['admin'],
  '$JS.API.STREAM.PURGE.RESULTS': ['admin'],
  '$JS.API.STREAM.PURGE.LEDGER': ['admin'],
  '$JS.API.STREAM.PURGE.DEADLETTERS': ['admin'],
  '$JS.API.STREAM.PURGE.KV_pelton-replays': ['admin', 'control'],
  '$JS.API.CONSUMER.DELETE.FEATURES.worker-default-high': ['admin'],
  '$JS.API.CONSUMER.DELETE.RETRIES.retry-default-high': ['admin'],
  '$JS.API.CONSUMER.RESET.FEATURES.worker-default-high': ['admin', 'control'],
  '$JS.API.CONSUMER.MSG.NEXT.FEATURES.worker-default-high': ['admin', 'worker'],
  '$JS.API.CONSUMER.PAUSE.FEATURES.worker-default-high': ['admin'],
  '$JS.API.STREAM.SNAPSHOT.FEATURES': ['admin'],
  '$JS.API.STREAM.RESTORE.FEATURES': ['admin'],
}

const HEARD: Readonly<Record<string, readonly Role[]>> = {
  '>': [],
  '_INBOX.>': [],
  '_INBOX.producer.>': ['producer'],
  '_INBOX.worker.>': ['worker'],
  '_INBOX.control.>': ['control'],
  '_pelton.reply.>': [],
  'pelton.flow.>': ['control'],
  'features.>': [],
  'results.>': [],
  'deadletters.>': [],
  'ledger.>': [],
  '$KV.>': [],
  '$JS.API.>': [],
  '$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.FEATURES.>': ['control'],
}

describe('rights', () => {
  test.each(Object.entries(ACTS))('%s may be published to by %j only', async (subject, allowed) => {
    expect(await whoMay((role) => isPublishRefused(role, subject), ROLES)).toEqual(inOrder(allowed))
  })

  test.each(Object.entries(DESTRUCTIVE))('%s is refused to all but %j', async (subject, allowed) => {
    const others = ROLES.filter((role) => !allowed.includes(role))
    expect(await whoMay((role) => isPublishRefused(role, subject), others)).toEqual([])
  })

  test.each(Object.entries(HEARD))('%s may be listened to by %j only', async (subject, allowed) => {
    expect(await whoMay((role) => isListeningRefused(role, subject), ROLES)).toEqual(inOrder(allowed))
  })

  test.each([
    ['nobody', {}],
    ['a user with another password', { user: 'admin', pass: 'of-worker #1' }],
    ['an unknown user', { user: 'route', pass: 'x' }],
  ])('%s does not get in', async (_who, credentials) => {
    const refused = connectNats({ servers: server.url, ...credentials, reconnect: false })
    await expect(refused).rejects.toThrow(/authorization/i)
  })
})

describe('the leader a role goes by', () => {
  test.each([
    ['admin', STREAMS.results],
    ['control', STREAMS.results],
    ['worker', STREAMS.results],
    ['subscriber', STREAMS.results],
    ['producer', STREAMS.features],
  ] as const)('is told to %s: that of %s', async (role, stream) => {
    expect(await askServer(as(role), `$JS.API.STREAM.INFO.${stream}`)).toBe('well')
  })

  test('is refused to who has no right to ask', async () => {
    expect(await askServer(as('producer'), `$JS.API.STREAM.INFO.${STREAMS.ledger}`)).toBe('refused')
  })
})

const inOrder = (roles: readonly Role[]): Role[] => ROLES.filter((role) => roles.includes(role))

async function whoMay(isRefused: (role: Role) => Promise<boolean>, roles: readonly Role[]): Promise<Role[]> {
  const answers = await Promise.all(roles.map(isRefused))
  return roles.filter((_role, index) => answers[index] === false)
}

/** Publishes what no API understands; whatever answers, or nobody, only the server's refusal counts. */
async function isPublishRefused(role: Role, subject: string): Promise<boolean> {
  as(role).publish(subject, 'x')
  return isRefused(role, 'publish', subject)
}

async function isListeningRefused(role: Role, subject: string): Promise<boolean> {
  const subscription = as(role).subscribe(subject, { callback: () => undefined })
  const answer = await isRefused(role, 'subscription', subject)
  subscription.unsubscribe()
  return answer
}

/** The server says a refusal before it answers the flush behind the act. */
async function isRefused(role: Role, operation: string, subject: string): Promise<boolean> {
  await as(role).flush()
  await new Promise((resolve) => setImmediate(resolve)) // the client hands it on in a turn of its own
  return (refusals.get(role) ?? []).some(
    (refusal) => refusal.operation === operation && refusal.subject === subject,
  )
}

/** Keeps what the server refuses a role on its connection here. */
async function collectRefusals(role: Role): Promise<void> {
  const collected: PermissionViolationError[] = []
  refusals.set(role, collected)
  for await (const event of as(role).status())
    if (event.type === 'error' && event.error instanceof PermissionViolationError) collected.push(event.error)
}
