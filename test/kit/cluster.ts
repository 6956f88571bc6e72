import type { NatsConnection } from '@nats-io/transport-node'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { type BrokerOptions, connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { type ProvisionOptions, provision } from '../../shared/sdk/jetstream/provision.ts'
import { testDataPath, testPrefix } from './broker.ts'
import { openDirect } from './cluster-direct.ts'
import { createNode, type NodeProcess } from './cluster-node.ts'
import { type Network, openWires } from './cluster-wires.ts'
import { openNamespaces } from './namespaces.ts'
import { eventually, PATIENT } from './wait.ts'

/** One server of a cluster, and the wires to it. */
export interface ClusterNode extends Omit<NodeProcess, 'remove'> {
  /** `nats://127.0.0.1:<port>`, through the wire that `isolate` cuts. */
  readonly url: string
  /** The same server past its wire, for whoever observes. */
  readonly directUrl: string
}

export interface TestCluster {
  readonly nodes: readonly ClusterNode[]
  /** Addresses of all nodes, through their wires, separated by commas. */
  readonly url: string
  /** @throws Error where there is no node of this name */
  node(name: string): ClusterNode
  /** A connection of its own, to any node unless told; closed by {@link TestCluster.stop} at the latest. */
  connect(options?: Partial<BrokerOptions>): Promise<NatsConnection>
  /** Creates Pelton's streams and consumers with three copies. */
  provision(options?: ProvisionOptions): Promise<void>
  /**
   * Cuts the wires between a node and the others. `outgoing`: what it says reaches nobody; `incoming`: it hears
   * nobody; both unless told. Its clients stay.
   */
  cutRoutes(name: string, which?: 'outgoing' | 'incoming'): void
  /** Cuts a node off from the others and from its clients. */
  isolate(name: string): void
  /** Makes all wires whole. */
  heal(): void
  /** Name of the node that leads the cluster's own group, as the majority of the running nodes says. */
  metaLeader(): Promise<string | undefined>
  /** Resolves once every running node finds itself well and knows the same leader. */
  ready(): Promise<void>
  /** Ends all nodes, removes their folders, closes connections and wires. May be called again. */
  stop(): Promise<void>
}

export interface ClusterOptions {
  /** How long a write may stay unsynced: `always`, `2m`. @default 'always' */
  readonly syncInterval?: string
  /** Added to each node's configuration. */
  readonly config?: string
  /**
   * What the nodes are joined by: TCP proxies on the loopback interface, which hold what is sent over a wire that is cut;
   * network namespaces, where packets are lost, acknowledgements of TCP too (`whyNoNamespaces` in namespaces.ts); or
   * nothing that can be cut. @default 'wires'
   */
  readonly network?: keyof typeof NETWORKS
  /** Added to the `jetstream` block of each node: `max_file_store: 2GB`. */
  readonly jetstream?: string
}

const NETWORKS = { wires: openWires, namespaces: openNamespaces, direct: openDirect } as const

/**
 * Starts three nats-servers that form one JetStream cluster. Routes and clients go through wires that can be cut. Resolves when it has a leader. The servers end with this process, however that ends.
 */
export async function startTestCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const { syncInterval = 'always', config = '', jetstream = '' } = options
  const { path: binary } = await ensureBroker({ note: (text) => process.stderr.write(`${text}\n`) })
  const names = ['n1', 'n2', 'n3']
  const network = await NETWORKS[options.network ?? 'wires'](names)
  const nodes: NodeProcess[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.remove()))
    await network.close()
  }
  try {
    for (const name of names)
      nodes.push(
        await createNode({ name, binary, syncInterval, config, jetstream, ...network.placeOf(name) }),
      )
    await Promise.all(nodes.map((node) => node.start()))
    const cluster = clusterOf(nodes, network, stop)
    await cluster.ready()
    return cluster
  } catch (thrown) {
    await stop()
    throw thrown
  }
}

function clusterOf(
  processes: readonly NodeProcess[],
  network: Network,
  end: () => Promise<void>,
): TestCluster {
  const connections: NatsConnection[] = []
  const nodes = processes.map((process): ClusterNode => {
    const address = network.addressOf(process.name)
    return Object.defineProperties(process, {
      url: { value: address.url },
      directUrl: { value: address.directUrl },
    }) as NodeProcess & typeof address
  })
  const url = nodes.map((node) => node.url).join(',')
  const connect = async (given: Partial<BrokerOptions> = {}): Promise<NatsConnection> => {
    // An election of a busy machine takes longer than a service would wait.
    const own = { dataPath: testDataPath(), prefix: testPrefix(), patienceMs: PATIENT.timeout }
    const connection = await connectBroker({ url, name: 'test', ...own, ...given })
    connections.push(connection)
    return connection
  }
  return {
    nodes,
    url,
    node: (name) => {
      const found = nodes.find((node) => node.name === name)
      if (found === undefined) throw new Error(`this cluster has no node ${name}`)
      return found
    },
    connect,
    provision: async ({ topology, ...rest } = {}) => {
      const connection = await connect()
      await provision(connection, { ...rest, topology: { replicas: nodes.length, ...topology } })
      await connection.close()
    },
    cutRoutes: (name, which) => network.cutRoutes(name, which),
    isolate: (name) => {
      network.cutRoutes(name)
      network.cutClients(name)
    },
    heal: () => network.heal(),
    metaLeader: async () => (await views(processes)).leader,
    ready: () => ready(processes),
    stop: async () => {
      await Promise.all(connections.map((connection) => connection.close()))
      await end()
    },
  }
}

/** The name of who leads a stream, or a consumer of it; waits until somebody does and says so. */
export async function leaderOf(
  connection: NatsConnection,
  stream: string,
  consumer?: string,
): Promise<string> {
  const subject = consumer === undefined ? `STREAM.INFO.${stream}` : `CONSUMER.INFO.${stream}.${consumer}`
  const look = async (): Promise<string | undefined> => {
    const info = await requestApi<{ readonly cluster?: { readonly leader?: string } }>(
      connection,
      subject,
    ).catch(() => undefined) // an election is under way
    return info?.cluster?.leader || undefined
  }
  return eventually(`a leader of ${consumer ?? stream}`, look, { everyMs: 50 })
}

/** Makes a node the leader of a stream, or of a consumer of it; waits until it is. */
export async function lead(
  connection: NatsConnection,
  { name }: Pick<ClusterNode, 'name'>,
  stream: string,
  consumer?: string,
): Promise<void> {
  const what =
    consumer === undefined
      ? `STREAM.LEADER.STEPDOWN.${stream}`
      : `CONSUMER.LEADER.STEPDOWN.${stream}.${consumer}`
  const look = async (): Promise<boolean> => {
    if ((await leaderOf(connection, stream, consumer)) === name) return true
    const placement = { preferred: name }
    await requestApi(connection, what, { placement }).catch(() => undefined) // an election is under way
    return false
  }
  await eventually(`${name} to lead ${consumer ?? stream}`, look, { everyMs: 250 })
}

interface View {
  readonly leader: string | undefined
  /** How many running nodes know it and find themselves well. */
  readonly agreed: number
  /** How many other nodes it knows to be there: only those get a part of a stream. */
  readonly followers: number
}

interface MetaCluster {
  readonly leader?: string
  /** As the leader sees the others. */
  readonly replicas?: readonly { readonly offline?: boolean; readonly current?: boolean }[]
}

/** Whom the running nodes take for their leader: whoever most of them name. */
async function views(nodes: readonly NodeProcess[]): Promise<View> {
  const votes = new Map<string, number>()
  let followers = 0
  const asked = nodes.map(async (node) => {
    const [jetstream, health] = await Promise.all([node.monitor('jsz'), node.monitor('healthz')])
    const { leader, replicas = [] } = (jetstream?.meta_cluster ?? {}) as MetaCluster
    if (leader === node.name)
      followers = replicas.filter(({ offline, current }) => current && !offline).length
    if (leader !== undefined && leader !== '' && health?.status === 'ok')
      votes.set(leader, (votes.get(leader) ?? 0) + 1)
  })
  await Promise.all(asked)
  const [first] = [...votes].sort(([, a], [, b]) => b - a)
  return { leader: first?.[0], agreed: first?.[1] ?? 0, followers }
}

async function ready(nodes: readonly NodeProcess[]): Promise<void> {
  const isAgreed = async (): Promise<boolean> => {
    const { agreed, followers } = await views(nodes)
    const running = nodes.filter((node) => node.isRunning).length
    return agreed > 0 && agreed === running && followers >= running - 1
  }
  await eventually('the nodes to agree on a leader', isAgreed, { everyMs: 50, seen: () => views(nodes) })
}
