import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial } from 'node:net'
import { connect as connectNats, type NatsConnection } from '@nats-io/transport-node'
import { describe, expect } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { type ClusterNode, lead, startTestCluster, type TestCluster } from '../kit/cluster.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'

/** A user that may not ask for any stream; everybody else may do everything. */
const USERS = `
  authorization { users: [
    { user: all, password: x }
    { user: few, password: x, permissions { publish { deny: ["$JS.API.STREAM.INFO.>"] } } }
  ] }
  no_auth_user: all`

const it = staged(async () => {
  const cluster = await startTestCluster({ config: USERS })
  await cluster.provision()
  const client = await cluster.connect()
  return { cluster, client, moves: movesOf(client), close: () => cluster.stop() }
})

/** The servers a connection was moved to, in order. */
function movesOf(connection: NatsConnection): readonly string[] {
  const moves: string[] = []
  const listen = async (): Promise<void> => {
    for await (const status of connection.status()) if (status.type === 'reconnect') moves.push(status.server)
  }
  void listen()
  return moves
}

function nodeOf(cluster: TestCluster, connection: NatsConnection): ClusterNode {
  const found = cluster.nodes.find(({ url }) => url.endsWith(connection.getServer()))
  if (found === undefined) throw new Error(`no node is ${connection.getServer()}`)
  return found
}

async function connectionsSoFar(node: ClusterNode): Promise<number> {
  return Number((await node.monitor('varz'))?.total_connections ?? 0)
}

/** Longer than an answer is waited for, shorter than what the client takes for a dead connection. */
const SLOW_MS = 2_000

/** A wire to a server. What comes by the connections that are open when it is slowed comes late, as behind much else. */
async function openSlowWire(url: string) {
  let slowed = 0
  let opened = 0
  const server = createServer((client) => {
    const number = ++opened
    const target = dial(Number(new URL(url).port), '127.0.0.1')
    client.pipe(target).on('error', () => client.destroy())
    client.on('error', () => target.destroy()).on('close', () => target.destroy())
    target.on('close', () => client.destroy())
    target.on('data', (bytes) => {
      if (number > slowed) client.write(bytes)
      else setTimeout(() => client.writable && client.write(bytes), SLOW_MS)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    slow: () => {
      slowed = opened
    },
    opened: () => opened,
    close: () => server.close(),
  }
}

/** One address for several servers, of which it gives any, as a service of Kubernetes does. */
async function openSharedAddress(urls: readonly string[]) {
  const server = createServer((client) => {
    const url = urls[Math.floor(Math.random() * urls.length)] ?? ''
    const target = dial(Number(new URL(url).port), '127.0.0.1')
    target.on('error', () => client.destroy()).on('close', () => client.destroy())
    client.on('error', () => target.destroy()).on('close', () => target.destroy())
    client.pipe(target).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() }
}

describe.concurrent('a client whose server is cut off from the others', () => {
  it.for([
    ['hears nobody, and leads', 'incoming', true],
    ['hears nobody, and follows', 'incoming', false],
    ['is heard by nobody', 'outgoing', false],
  ] as const)('leaves one that %s', async ([_which, way, isLeader], { stage }) => {
    const { cluster, client, moves } = stage
    const cut = nodeOf(cluster, client)
    const leader = isLeader ? cut : cluster.nodes.find(({ name }) => name !== cut.name)
    await lead(client, leader ?? cut, STREAMS.results)
    cluster.cutRoutes(cut.name, way)
    await eventually('the client to leave', () => moves.length > 0)
    await eventually('RESULTS to have a leader there', () =>
      streamInfo(client, STREAMS.results).catch(() => undefined),
    )
    expect(moves).not.toContain(cut.url.replace('nats://', ''))
  })

  it('goes by the leader of the cluster where its user may not ask for the stream', async ({ stage }) => {
    const { cluster } = stage
    const client = await cluster.connect({ user: 'few', password: 'x' })
    const moves = movesOf(client)
    const cut = nodeOf(cluster, client)
    cluster.cutRoutes(cut.name)
    await eventually('the client to leave', () => moves.length > 0)
    expect(moves).not.toContain(cut.url.replace('nats://', ''))
  })

  it('leaves alone a connection that an application made', async ({ stage }) => {
    const { cluster, client, moves } = stage
    const cut = nodeOf(cluster, client)
    const others = cluster.nodes.filter(({ name }) => name !== cut.name)
    const servers = [cut, ...others].map(({ url }) => url)
    const connection = await connectNats({ servers, noRandomize: true })
    const producer = await createProducer({ connection, source: 'own' })
    cluster.cutRoutes(cut.name, 'incoming')
    await eventually('a client of ours to leave', () => moves.length > 0)
    expect(cut.url).toContain(connection.getServer())
    await producer.close()
    await connection.close()
  })

  it('stays where only its own connection is slow: the server is well', async ({ stage }) => {
    const { cluster } = stage
    const wires = await Promise.all(cluster.nodes.map(({ directUrl }) => openSlowWire(directUrl)))
    const client = await cluster.connect({ url: wires.map(({ url }) => url).join(',') })
    const moves = movesOf(client)
    const home = wires.find(({ url }) => url.endsWith(client.getServer()))
    home?.slow()
    const before = home?.opened() ?? 0
    const isAskedBeside = (): boolean => (home?.opened() ?? 0) >= before + 5
    await eventually(
      'the server to be asked over other connections',
      () => isAskedBeside() || moves.length > 0,
    )
    expect(moves).toEqual([])
    await client.close()
    for (const wire of wires) wire.close()
  })

  it('leaves one behind an address that all servers share', async ({ stage }) => {
    const { cluster } = stage
    const shared = await openSharedAddress(cluster.nodes.map(({ directUrl }) => directUrl))
    const client = await cluster.connect({ url: shared.url })
    const cut = client.info?.server_name ?? ''
    cluster.cutRoutes(cut)
    await eventually('the client to leave', () => (client.info?.server_name ?? cut) !== cut)
    expect(await streamInfo(client, STREAMS.results)).toBeDefined()
    await client.close()
    shared.close()
  })

  it('stays while no server has a leader, and goes on at the same when they have one', async ({ stage }) => {
    const { cluster, client, moves } = stage
    const home = client.getServer()
    const others = cluster.nodes.filter(({ name }) => name !== nodeOf(cluster, client).name)
    for (const { name } of cluster.nodes) cluster.cutRoutes(name)
    const before = await Promise.all(others.map(connectionsSoFar))
    await eventually('each other server to be asked five times', async () => {
      const now = await Promise.all(others.map(connectionsSoFar))
      return now.every((count, index) => count >= (before[index] ?? 0) + 5)
    })
    expect(moves).toEqual([])
    cluster.heal()
    await eventually('RESULTS to have a leader', () =>
      streamInfo(client, STREAMS.results).catch(() => undefined),
    )
    expect(client.getServer()).toBe(home)
  })
})
