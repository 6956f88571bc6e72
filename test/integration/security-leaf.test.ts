import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { expect, onTestFinished, test } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { setDomain } from '../../shared/sdk/jetstream/domain.ts'
import { PullLane } from '../../shared/sdk/jetstream/pull-lane.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { waitFor } from '../../shared/sdk/wait-for.ts'
import { latestModels } from '../kit/models-folder.ts'
import { freePorts } from '../kit/ports.ts'
import { type SecuredServerOptions, startSecuredServer } from '../kit/secured-server.ts'
import { eventually } from '../kit/wait.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { runCli } from './cli-process.ts'

const ACCOUNT = (leafNode: string, jetStream = 'jetstream: enabled, '): string => `
accounts {
  SYS: { users: [{ user: sys, password: sys }] }
  PELTON: { ${jetStream}users: [{ user: app, password: app }] }
}
system_account: SYS
${leafNode}`

/** A hub, and a leaf of the domain `leaf` that is connected to it; both end with the test. */
async function startHubAndLeaf(own: Omit<SecuredServerOptions, 'config'>, jetStream?: string) {
  const [leafPort] = await freePorts(1)
  const hub = await startSecuredServer({
    ...own,
    config: ACCOUNT(`server_name: hub\nleafnodes { listen: "127.0.0.1:${leafPort}" }`, jetStream),
  })
  onTestFinished(() => hub.stop())
  const remote = `{ url: "nats://app:app@127.0.0.1:${leafPort}", account: PELTON }`
  const leaf = await startSecuredServer({
    domain: 'leaf',
    config: ACCOUNT(`server_name: leaf\nleafnodes { remotes: [${remote}] }`),
  })
  onTestFinished(() => leaf.stop())
  return { hub, leaf }
}

test('whoever is connected to a leaf, which has streams of its own, uses those of its hub', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-leaf-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const { leaf } = await startHubAndLeaf({ domain: 'hub' })

  const url = `nats://app:app@127.0.0.1:${leaf.port}`
  const env = { PELTON_NATS_URL: url, PELTON_NATS_DOMAIN: 'hub', PELTON_DATA: folder, USER: 'ops' }
  const succeeds = async (...args: readonly string[]): Promise<string> => {
    const { code, out, err } = await runCli(args, { env })
    expect(code, `${args.join(' ')}\n${out}${err}`).toBe(0)
    return out
  }
  await succeeds('provision')
  const worker = await startWorkerProcess({ url, models: latestModels(), env })
  onTestFinished(async () => {
    worker.kill('SIGKILL')
    await worker.ended
  })
  const producer = await createProducer({ url, domain: 'hub', source: 'leaf' })
  onTestFinished(() => producer.close())
  const model = 'flight-delay'
  expect((await producer.request({ model, id: 'one', features: EXAMPLE_FLIGHT })).kind).toBe('prediction')
  await producer.publish({ model, id: 'bad', features: { origin: 'DTW' } })
  const shared = await connect({ servers: `127.0.0.1:${leaf.port}`, user: 'app', pass: 'app' })
  onTestFinished(() => shared.close())
  const asked = { model, source: 'leaf', id: 'one' }
  expect((await waitFor(shared, asked, { domain: 'hub' })).kind).toBe('prediction')
  const subscriber = await createSubscriber({
    ...{ connection: shared, domain: 'hub' },
    ...{ include: 'all', from: 'all' },
  })
  onTestFinished(() => subscriber.close())
  const kinds: string[] = []
  for await (const { kind, ack } of subscriber) {
    kinds.push(kind)
    ack()
    if (kinds.length === 2) break
  }
  expect(kinds).toEqual(['prediction', 'failure'])
  await succeeds('replay', 'start', '--all', '--rate', '1000', '--ramp', '0', '--max-failure-share', '1')
  await succeeds('doctor')
  await succeeds('audit', '--deep')
  const own = await runCli(['status'], { env: { ...env, PELTON_NATS_DOMAIN: 'leaf' } })
  expect(own.code).toBe(1) // nothing is provisioned there
  worker.kill()
  expect(await worker.ended, JSON.stringify(worker.log)).toBe(0)
})

test.each([
  ['has streams of its own', { domain: 'hub' }, 'jetstream: enabled, '],
  ['has no JetStream', { hasJetStream: false }, ''],
])(
  'a pull asks for signs of life where its streams are behind a server that stands alone and %s',
  async (_what, own, jetStream) => {
    const { hub } = await startHubAndLeaf(own, jetStream)
    const connection = await connect({ servers: `127.0.0.1:${hub.port}`, user: 'app', pass: 'app' })
    onTestFinished(() => connection.close())
    setDomain(connection, 'leaf')
    const create = (): Promise<unknown> =>
      requestApi(connection, 'STREAM.CREATE.S', { name: 'S', subjects: ['s'] })
    await eventually('a leaf that is connected', () =>
      create().then(
        () => true,
        () => false,
      ),
    )
    const config = { durable_name: 'c', ack_policy: 'explicit' }
    await requestApi(connection, 'CONSUMER.CREATE.S.c', { stream_name: 'S', config })
    let signs = 0
    connection.subscribe('_INBOX.>', {
      callback: (_error, message) => {
        if (message.headers?.code === 100) signs++
      },
    })
    const lane = new PullLane(connection, { stream: 'S', consumer: 'c' }, () => undefined)
    await lane.pull({ batch: 1, maxBytes: 1024 ** 2, idleMs: 1_500, lingerMs: 0 })
    await lane.close()
    expect(signs).toBeGreaterThan(0)
  },
)
