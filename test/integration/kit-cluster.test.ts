import { execFileSync } from 'node:child_process'
import { access } from 'node:fs/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { describe, expect, vi } from 'vitest'
import { patientApi, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { PullLane } from '../../shared/sdk/jetstream/pull-lane.ts'
import { leaderOf, startTestCluster, type TestCluster } from '../kit/cluster.ts'
import { whyNoNamespaces } from '../kit/namespaces.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'

const it = staged(openStage)

async function openStage() {
  const cluster = await startTestCluster()
  const connection = await cluster.connect()
  const stream = { name: 'KIT', subjects: ['kit.>'], num_replicas: 3 }
  await patientApi(() => requestApi(connection, 'STREAM.CREATE.KIT', stream))
  const config = { durable_name: 'c', ack_policy: 'explicit' }
  await patientApi(() => requestApi(connection, 'CONSUMER.CREATE.KIT.c', { stream_name: 'KIT', config }))
  return { cluster, connection, close: () => cluster.stop() }
}

/** Publishes to KIT until it is stored. */
async function store(connection: NatsConnection, text: string): Promise<void> {
  const window = new PublishWindow(connection, { timeoutMs: 1_000 })
  const message = { subject: 'kit.a', headers: [], body: Buffer.from(text) }
  await vi.waitFor(
    async () => expect(await window.publish(message)).toMatchObject({ kind: 'stored' }),
    PATIENT,
  )
  window.close()
}

function other(cluster: TestCluster, than: string): string {
  return cluster.nodes.filter(({ name }) => name !== than)[0]?.name ?? ''
}

describe.concurrent('test cluster', () => {
  it('has a leader, syncs always, and knows who leads a stream and a consumer', async ({ stage }) => {
    const { cluster, connection } = stage
    const names = cluster.nodes.map(({ name }) => name)
    expect(names).toContain(await cluster.metaLeader())
    expect(names).toContain(await leaderOf(connection, 'KIT'))
    expect(names).toContain(await leaderOf(connection, 'KIT', 'c'))
    const page = await cluster.nodes[0]?.monitor('jsz')
    expect((page?.config as { sync_always?: boolean } | undefined)?.sync_always).toBe(true)
  })

  it('is asked for signs of life during a pull: an election ends it without a word', async ({ stage }) => {
    const { connection } = stage
    const asked: Record<string, unknown>[] = []
    connection.subscribe('$JS.API.CONSUMER.MSG.NEXT.KIT.c', {
      callback: (_error, message) => void asked.push(message.json()),
    })
    await connection.flush()
    const lane = new PullLane(connection, { stream: 'KIT', consumer: 'c' }, () => undefined)
    await lane.pull({ batch: 1, maxBytes: 1_000_000, idleMs: 600, lingerMs: 0 })
    await lane.close()
    expect(asked).toContainEqual(expect.objectContaining({ idle_heartbeat: expect.any(Number) }))
  })

  it('tells nobody of an address past its wires', async ({ stage }) => {
    const { cluster, connection } = stage
    expect(connection.info?.connect_urls ?? []).toEqual([])
    const pages = await Promise.all(
      cluster.nodes.map(async (node) => ({
        own: (await node.monitor('varz'))?.cluster as { cluster_port: number },
        routes: (await node.monitor('routez'))?.routes as { port: number; did_solicit: boolean }[],
      })),
    )
    const listening = new Set(pages.map(({ own }) => own.cluster_port))
    const dialled = pages.flatMap(({ routes }) => routes).filter(({ did_solicit }) => did_solicit)
    expect(dialled.length).toBeGreaterThan(0)
    expect(dialled.filter(({ port }) => listening.has(port))).toEqual([])
  })

  it.for(['kill', 'stop'] as const)(
    'goes on after the %s of a leader, and takes it back',
    async (how, { stage }) => {
      const { cluster } = stage
      const observer = await cluster.connect()
      const leader = await leaderOf(observer, 'KIT')
      await cluster.node(leader)[how]()
      expect(cluster.node(leader).isRunning).toBe(false)
      const connection = await cluster.connect({ url: cluster.node(other(cluster, leader)).directUrl })
      await vi.waitFor(async () => expect(await leaderOf(connection, 'KIT')).not.toBe(leader), PATIENT)
      await store(connection, how)
      await cluster.node(leader).start()
      await cluster.ready()
      expect(cluster.nodes.every(({ isRunning }) => isRunning)).toBe(true)
    },
  )

  it('has another leader when the leader is stopped where it is, and takes it back', async ({ stage }) => {
    const { cluster } = stage
    const leader = await leaderOf(await cluster.connect(), 'KIT')
    cluster.node(leader).pause()
    const connection = await cluster.connect({ url: cluster.node(other(cluster, leader)).directUrl })
    await vi.waitFor(async () => expect(await leaderOf(connection, 'KIT')).not.toBe(leader), PATIENT)
    cluster.node(leader).resume()
    await cluster.ready()
  })

  it.for(['isolated', 'mute'] as const)('replaces a leader that is %s, and heals', async (how, { stage }) => {
    const { cluster } = stage
    const leader = await leaderOf(await cluster.connect(), 'KIT')
    if (how === 'isolated') cluster.isolate(leader)
    else cluster.cutRoutes(leader, 'outgoing')
    const connection = await cluster.connect({ url: cluster.node(other(cluster, leader)).directUrl })
    await vi.waitFor(async () => expect(await leaderOf(connection, 'KIT')).not.toBe(leader), PATIENT)
    await store(connection, how)
    cluster.heal()
    await cluster.ready()
    await cluster.connect({ url: cluster.node(leader).url })
  })

  it('loses the packets of a leader in a namespace, heals, and leaves no namespace behind', async ({
    skip,
  }) => {
    const why = whyNoNamespaces()
    if (why !== undefined) skip(why)
    const cluster = await startTestCluster({ network: 'namespaces' })
    const namespaces = (): string => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
    try {
      const connection = await cluster.connect()
      const stream = { name: 'KIT', subjects: ['kit.>'], num_replicas: 3 }
      await patientApi(() => requestApi(connection, 'STREAM.CREATE.KIT', stream))
      const leader = await leaderOf(connection, 'KIT')
      cluster.cutRoutes(leader, 'incoming')
      const observer = await cluster.connect({ url: cluster.node(other(cluster, leader)).directUrl })
      await vi.waitFor(async () => expect(await leaderOf(observer, 'KIT')).not.toBe(leader), PATIENT)
      cluster.heal()
      await cluster.ready()
      expect(namespaces()).toContain(`pelton-${process.pid}-`)
    } finally {
      await cluster.stop()
    }
    expect(namespaces()).not.toContain(`pelton-${process.pid}-`)
  })

  it('leaves no process and no folder behind', async () => {
    const own = await startTestCluster({ syncInterval: '2m' })
    const left = own.nodes.map(({ pid, dataDir }) => ({ pid, dataDir }))
    for (const { pid } of left) expect(process.kill(pid, 0)).toBe(true)
    own.node('n2').pause()
    await own.stop()
    await own.stop()
    for (const { pid, dataDir } of left) {
      expect(() => process.kill(pid, 0)).toThrow('ESRCH')
      await expect(access(dataDir)).rejects.toMatchObject({ code: 'ENOENT' })
    }
  })
})
