import { featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type ClusterNode, lead, leaderOf, type TestCluster } from '../../kit/cluster.ts'
import { watchLeaders } from '../../kit/leader-watch.ts'
import { eventually } from '../../kit/wait.ts'
import type { Stage } from './stage.ts'

/** Does something to the node that leads the pool's consumer; the result undoes it. */
type Fault = (leader: ClusterNode, cluster: TestCluster) => (() => Promise<void> | void) | Promise<void>

/** A fault of the node that leads the pool's consumer. */
export interface LeaderFault {
  readonly name: string
  readonly fault: Fault
  /** Only in the full form: the broker takes its time. */
  readonly isLong?: true
  /**
   * One worker, connected to the very node that leads: nobody goes on in its place, so results stand still for as long as it
   * takes to leave. Default: three workers, anywhere.
   */
  readonly isAlone?: true
  /** In network namespaces: packets are lost, acknowledgements of TCP too. Default: wires, which hold what is sent. */
  readonly losesPackets?: true
}

const LANE = featureConsumer('default', 'normal').durable_name
/** What a worker needs to go on: events, their consumer, and the streams that take what it stores. Each elects by itself. */
const GROUPS = [
  { stream: STREAMS.features },
  { stream: STREAMS.features, consumer: LANE },
  { stream: STREAMS.results },
  { stream: STREAMS.ledger },
]

const hearsNobody: Fault = ({ name }, cluster) => {
  cluster.cutRoutes(name, 'incoming')
  return () => cluster.heal()
}

export const LEADER_FAULTS: readonly LeaderFault[] = [
  {
    name: 'leader killed with kill -9',
    fault: async (leader) => leader.kill(),
  },
  {
    name: 'leader isolated from nodes and clients',
    fault: ({ name }, cluster) => {
      cluster.isolate(name)
      return () => cluster.heal()
    },
  },
  {
    name: 'leader cut off from the nodes, not from its clients',
    fault: ({ name }, cluster) => {
      cluster.cutRoutes(name)
      return () => cluster.heal()
    },
    isLong: true,
  },
  {
    name: 'one-way partition: nobody hears the leader',
    fault: ({ name }, cluster) => {
      cluster.cutRoutes(name, 'outgoing')
      return () => cluster.heal()
    },
  },
  {
    name: 'one-way partition: the leader hears nobody',
    fault: hearsNobody,
    isLong: true, // the others hear it, so only the leader itself can notice
  },
  {
    name: 'packets to the leader are lost, one worker at it',
    fault: hearsNobody,
    isLong: true,
    isAlone: true,
    losesPackets: true,
  },
  {
    name: 'leader stopped where it is (SIGSTOP)',
    fault: (leader) => {
      leader.pause()
      return () => leader.resume()
    },
    isLong: true,
  },
]

/** How long the broker took to elect, and the workers to go on; milliseconds. */
export interface LeaderRun {
  /** When it began, milliseconds since 1970. */
  readonly beganAt: number
  /** From the fault until all groups were led by others for good. */
  readonly electedMs: number
  /** From there until the consumer has handed out a message. While RESULTS or LEDGER takes nothing, workers do not pull. */
  readonly resumedMs: number
}

/**
 * One fault, from a cluster that is well to one that is well again. Seen by a node that the fault does not touch. No bound is
 * put on either time: the first is the broker's own, and both depend on the machine.
 */
export async function strike(
  { broker: cluster, connection, faultEnded }: Stage<TestCluster>,
  { fault, isAlone }: LeaderFault,
): Promise<LeaderRun> {
  if (isAlone === true) await leadWhereTheWorkerIs(cluster)
  const leader = cluster.node(await leaderOf(connection, STREAMS.features, LANE))
  const witness = cluster.nodes.find(({ name }) => name !== leader.name)
  const observer = await cluster.connect({ url: witness?.directUrl ?? '' })
  const watch = watchLeaders(observer, GROUPS)
  const [began, beganAt] = [performance.now(), Date.now()]
  const undone = fault(leader, cluster)
  const { electedAt, resumedAt } = await watch.recovery(leader.name)
  watch.close()
  await observer.close()
  const undo = (await undone) ?? undefined
  await undo?.()
  faultEnded()
  if (!leader.isRunning) await leader.start()
  await cluster.ready()
  return { beganAt, electedMs: electedAt - began, resumedMs: resumedAt - electedAt }
}

/** Has FEATURES and the pool's consumer led by the node to which the worker is connected. */
async function leadWhereTheWorkerIs(cluster: TestCluster): Promise<void> {
  const home = await eventually('a node to have the worker', () => nodeOfWorker(cluster))
  const connection = await cluster.connect({ url: home.directUrl })
  for (const { stream, consumer } of GROUPS.slice(0, 2)) await lead(connection, home, stream, consumer)
  await connection.close()
}

async function nodeOfWorker({ nodes }: TestCluster): Promise<ClusterNode | undefined> {
  for (const node of nodes) {
    const page = await node.monitor('connz')
    const connections = (page?.connections ?? []) as readonly { readonly name?: string }[]
    if (connections.some(({ name }) => name?.startsWith('pelton worker'))) return node
  }
  return undefined
}
