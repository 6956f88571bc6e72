import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { leaderOf, startTestCluster, type TestCluster } from '../kit/cluster.ts'
import { spawnGateway } from '../kit/gateway-process.ts'
import { latestModels } from '../kit/models-folder.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import { ready, spawnWorkerProcess } from '../kit/worker-process.ts'
import { startCli } from './cli-process.ts'
import { spawnControl } from './control-process.ts'

const it = staged(async () => {
  const cluster = await startTestCluster()
  const dataDir = await mkdtemp(join(tmpdir(), 'pelton-election-'))
  const running: { kill(signal: NodeJS.Signals): unknown }[] = []
  const { url } = cluster
  return {
    cluster,
    worker() {
      const worker = spawnWorkerProcess({ url, models: latestModels() })
      running.push(worker)
      return worker
    },
    control() {
      const control = spawnControl({ url, dataDir })
      running.push(control.child)
      return control
    },
    gateway() {
      const gateway = spawnGateway({ url })
      running.push(gateway)
      return gateway
    },
    async close() {
      for (const each of running) each.kill('SIGKILL')
      await cluster.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
})

const DATA = Buffer.from(JSON.stringify({ features: EXAMPLE_FLIGHT }))

type Log = readonly Readonly<Record<string, unknown>>[]

/** Resolves once a process has said that it waits for this. */
function waitsFor(log: Log, what: RegExp): Promise<unknown> {
  const isSaid = ({ msg, reason }: Log[number]): boolean =>
    msg === 'waiting for the broker' && what.test(String(reason))
  return eventually(`a process to wait for ${what}`, () => log.some(isSaid), { seen: () => log })
}

const serves = (log: Log): Promise<unknown> =>
  eventually('a gateway to serve', () => log.some(({ msg }) => msg === 'serving'), { seen: () => log })

/** Stops all nodes but the first, and waits until that one knows that there is no leader. */
async function loseQuorum(cluster: TestCluster): Promise<void> {
  const [first, ...others] = cluster.nodes
  const observer = await cluster.connect({ url: first?.directUrl ?? '' })
  await Promise.all(others.map((node) => node.kill()))
  await eventually('the last node to miss its leader', () =>
    requestApi(observer, 'INFO').then(
      () => false,
      () => true,
    ),
  )
}

describe.concurrent('whoever starts while a cluster has no leader', () => {
  it('waits for one, and serves', async ({ stage }) => {
    const { cluster } = stage
    await cluster.provision()
    await loseQuorum(cluster)
    const worker = stage.worker()
    const control = stage.control()
    const gateway = stage.gateway()
    const env = { PELTON_NATS_URL: cluster.url }
    const provisioning = startCli(['provision'], { env })
    const producing = createProducer({ url: cluster.url, source: 'election' })
    const subscribing = createSubscriber({ url: cluster.url, from: 'all' })
    await Promise.all([
      waitsFor(worker.log, /JetStream/),
      waitsFor(control.log, /JetStream/),
      waitsFor(gateway.log, /JetStream/),
      provisioning.until('waiting for the broker'),
    ])
    for (const node of cluster.nodes) await node.start()

    await Promise.all([ready(worker), control.until('serving'), serves(gateway.log)])
    expect(await provisioning.ended, provisioning.err()).toBe(0)
    const [producer, subscriber] = await Promise.all([producing, subscribing])
    const { token } = await producer.publish({ model: 'flight-delay', id: 'one', data: DATA })
    for await (const result of subscriber) {
      expect(result.token).toBe(token)
      break
    }
    await Promise.all([producer.close(), subscriber.close()])
    worker.kill()
    control.child.kill()
    gateway.kill()
    expect(await Promise.all([worker.ended, control.ended, gateway.ended])).toEqual([0, 0, 0])
  })

  it('ends at once, and in peace, when it is told to', async ({ stage }) => {
    await stage.cluster.provision()
    await loseQuorum(stage.cluster)
    const worker = stage.worker()
    const control = stage.control()
    const gateway = stage.gateway()
    const services = [worker, control, gateway]
    const env = { PELTON_NATS_URL: stage.cluster.url }
    const commands = ['control', 'gateway', 'provision'].map((name) => startCli([name], { env }))
    await Promise.all(services.map(({ log }) => waitsFor(log, /JetStream/)))
    for (const command of commands) {
      await command.until('waiting for the broker')
      command.child.kill()
    }
    worker.kill()
    control.child.kill()
    gateway.kill()
    expect(await Promise.all(services.map(({ ended }) => ended))).toEqual([0, 0, 0])
    // What provision was to do is not done.
    expect(await Promise.all(commands.map(({ ended }) => ended))).toEqual([0, 0, 1])
    for (const { log } of services) {
      expect(log.filter(({ msg }) => msg === 'lifecycle').map(({ state }) => state)).toEqual([
        'starting',
        'stopped',
      ])
    }
  })

  it('waits for the leader of one bucket as well', async ({ stage }) => {
    const { cluster } = stage
    await cluster.provision({ topology: { replicas: 1 } })
    const observer = await cluster.connect()
    const holder = cluster.node(await leaderOf(observer, STORES.requests))
    await holder.kill()
    const [ends, gateway] = [stage.gateway(), stage.gateway()]
    await Promise.all([ends, gateway].map(({ log }) => waitsFor(log, /./)))
    ends.kill()
    expect(await ends.ended).toBe(0)
    await holder.start()
    await serves(gateway.log)
    gateway.kill()
    expect(await gateway.ended).toBe(0)
  })

  it('waits for the leader of one stream as well', async ({ stage }) => {
    const { cluster } = stage
    await cluster.provision({ topology: { replicas: 1 } })
    const observer = await cluster.connect()
    const holder = cluster.node(await leaderOf(observer, STREAMS.features))
    await holder.kill()
    const worker = stage.worker()
    await waitsFor(worker.log, new RegExp(STREAMS.features))
    await holder.start()
    await ready(worker)
    worker.kill()
    expect(await worker.ended).toBe(0)
  })
})
