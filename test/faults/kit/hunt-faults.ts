import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../../shared/sdk/jetstream/api.ts'
import type { ClusterNode, TestCluster } from '../../kit/cluster.ts'
import type { Fleet } from './fleet.ts'

/** What a hunt breaks. */
export interface Prey {
  readonly cluster: TestCluster
  readonly fleet: Fleet
  readonly connection: NatsConnection
  readonly random: () => number
  /** Ended when no more is to be broken: whatever is broken then is mended at once. */
  readonly signal: AbortSignal
}

interface HuntFault {
  readonly name: string
  /** How often it is chosen, beside the others. */
  readonly weight: number
  /** Breaks something, and mends it. */
  readonly act: (prey: Prey, hold: (least: number, most: number) => Promise<void>) => Promise<void>
}

const LANE = featureConsumer('default', 'normal').durable_name
const GROUPS = [
  `STREAM.LEADER.STEPDOWN.${STREAMS.features}`,
  `STREAM.LEADER.STEPDOWN.${STREAMS.results}`,
  `STREAM.LEADER.STEPDOWN.${STREAMS.ledger}`,
  `CONSUMER.LEADER.STEPDOWN.${STREAMS.features}.${LANE}`,
]

function nodeOf({ cluster, random }: Prey): ClusterNode {
  return cluster.nodes[Math.floor(random() * cluster.nodes.length)] as ClusterNode
}

/** The routes of one node are cut, in one direction or both, with its clients or without. */
async function partition(prey: Prey, hold: Parameters<HuntFault['act']>[1]): Promise<void> {
  const { cluster, random } = prey
  const { name } = nodeOf(prey)
  const way = Math.floor(random() * 4)
  if (way === 0) cluster.isolate(name)
  else cluster.cutRoutes(name, ([undefined, 'outgoing', 'incoming'] as const)[way - 1])
  await hold(2_000, 15_000)
  cluster.heal()
}

const FAULTS: readonly HuntFault[] = [
  { name: 'worker kill -9', weight: 10, act: ({ fleet }) => fleet.end('SIGKILL').then(() => undefined) },
  { name: 'worker SIGTERM', weight: 4, act: ({ fleet }) => fleet.end('SIGTERM').then(() => undefined) },
  {
    name: 'worker SIGSTOP',
    weight: 6,
    async act({ fleet }, hold) {
      const worker = await fleet.pick()
      worker.kill('SIGSTOP')
      await hold(2_000, 9_000)
      worker.kill('SIGCONT')
    },
  },
  {
    name: 'node kill -9',
    weight: 4,
    async act(prey, hold) {
      const node = nodeOf(prey)
      await node.kill()
      await hold(500, 6_000)
      await node.start()
    },
  },
  {
    name: 'node SIGSTOP',
    weight: 4,
    async act(prey, hold) {
      const node = nodeOf(prey)
      node.pause()
      await hold(1_000, 9_000)
      node.resume()
    },
  },
  { name: 'partition', weight: 8, act: partition },
  {
    name: 'step-down',
    weight: 8,
    async act({ connection, random }) {
      const group = GROUPS[Math.floor(random() * GROUPS.length)] as string
      await requestApi(connection, group).catch(() => undefined) // nobody leads it just now
    },
  },
  {
    name: 'kill -9 of all nodes',
    weight: 1,
    async act({ cluster }, hold) {
      await Promise.all(cluster.nodes.map((node) => node.kill()))
      await hold(200, 1_500)
      await Promise.all(cluster.nodes.map((node) => node.start()))
    },
  },
]

/**
 * Breaks one thing after the other, each chosen by the seed, until it is told to end. What a fault broke is whole again
 * before the next. Resolves with how often each was carried out.
 */
export async function hunt(prey: Prey): Promise<ReadonlyMap<string, number>> {
  const { random, signal } = prey
  const counts = new Map<string, number>()
  const hold = (least: number, most: number): Promise<void> =>
    sleep(least + random() * (most - least), undefined, { signal }).catch(() => undefined)
  while (!signal.aborted) {
    const fault = choose(random)
    await fault.act(prey, hold)
    counts.set(fault.name, (counts.get(fault.name) ?? 0) + 1)
    await hold(200, 3_000)
  }
  return counts
}

/** Each as often as its weight says. */
const CHOICES: readonly HuntFault[] = FAULTS.flatMap((fault) =>
  Array.from({ length: fault.weight }, () => fault),
)

function choose(random: () => number): HuntFault {
  return CHOICES[Math.floor(random() * CHOICES.length)] as HuntFault
}
