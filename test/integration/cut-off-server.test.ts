import { connect as connectNats, type NatsConnection } from '@nats-io/transport-node'
import { describe, expect } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { type ClusterNode, leaderOf, startTestCluster, type TestCluster } from '../kit/cluster.ts'
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

/** Makes a node the leader of RESULTS. */
async function lead(connection: NatsConnection, { name }: ClusterNode): Promise<void> {
  await eventually(`${name} to lead RESULTS`, async () => {
    if ((await leaderOf(connection, STREAMS.results)) === name) return true
    const placement = { preferred: name }
    await requestApi(connection, `STREAM.LEADER.STEPDOWN.${STREAMS.results}`, { placement }).catch(() => {})
    return false
  })
}

async function connectionsSoFar(node: ClusterNode): Promise<number> {
  return Number((await node.monitor('varz'))?.total_connections ?? 0)
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
    await lead(client, leader ?? cut)
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
