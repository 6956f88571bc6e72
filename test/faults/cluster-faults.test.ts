import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { type ClusterNode, leaderOf, startTestCluster, type TestCluster } from '../kit/cluster.ts'
import { watchLeaders } from '../kit/leader-watch.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { EVENTS, IS_FULL, openStage, type Stage } from './kit/stage.ts'

const LANE = featureConsumer('default', 'normal').durable_name
/** What a worker needs to go on: events, their consumer, and the streams that take what it stores. Each elects by itself. */
const GROUPS = [
  { stream: STREAMS.features },
  { stream: STREAMS.features, consumer: LANE },
  { stream: STREAMS.results },
  { stream: STREAMS.ledger },
]
/** Events come for longer than an election takes. */
const PACE = { perSecond: EVENTS / (IS_FULL ? 40 : 10) }

/** How long the broker took to elect, and the workers to go on: the second table. */
const recoveries: { readonly fault: string; readonly electedMs: number; readonly resumedMs: number }[] = []

afterAll(closeBareModels)
afterAll(() => {
  if (recoveries.length === 0) return
  const rows = recoveries.map(
    ({ fault, electedMs, resumedMs }) => `| ${fault} | ${inSeconds(electedMs)} | ${inSeconds(resumedMs)} |`,
  )
  const head = '| fault | new leader answers after s | next delivery after another s |\n| --- | ---: | ---: |'
  console.log(`${head}\n${rows.join('\n')}`)
})

/** Three nodes, three copies of every stream, and the stage on top. */
async function openClusterStage(fault: string): Promise<Stage<TestCluster>> {
  const cluster = await startTestCluster()
  onTestFinished(() => cluster.stop())
  return openStage(fault, { broker: cluster, topology: { replicas: 3 } })
}

/** Does something to the node that leads the pool's consumer; the result undoes it. */
type Fault = (leader: ClusterNode, cluster: TestCluster) => (() => Promise<void> | void) | Promise<void>

const LEADER_FAULTS: readonly { readonly name: string; readonly fault: Fault; readonly isLong?: true }[] = [
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
    fault: ({ name }, cluster) => {
      cluster.cutRoutes(name, 'incoming')
      return () => cluster.heal()
    },
    isLong: true, // the others hear it, so only the leader itself can notice: some 25 s
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

describe('a cluster of three', () => {
  for (const { name, fault, isLong } of LEADER_FAULTS) {
    test.skipIf(isLong === true && !IS_FULL)(`${name}${isLong ? ' [full form only]' : ''}`, async () => {
      const stage = await openClusterStage(`cluster: ${name}`)
      const { broker: cluster, feed, connection } = stage
      const publishing = feed.run(PACE)
      await feed.reached(0.2)
      const leader = cluster.node(await leaderOf(connection, STREAMS.features, LANE))
      const { electedMs, resumedMs, undo } = await measure(cluster, leader, fault)
      recoveries.push({ fault: name, electedMs, resumedMs })
      await undo?.()
      stage.faultEnded()
      if (!leader.isRunning) await leader.start()
      await publishing
      const note = `elected in ${inSeconds(electedMs)} s, next delivery after another ${inSeconds(resumedMs)} s`
      await stage.conclude({ note })
      expect(stage.fleet.ends).toEqual([])
    })
  }

  test('rolling restart of all nodes', async () => {
    const stage = await openClusterStage('cluster: rolling restart')
    const { broker: cluster, feed } = stage
    const publishing = feed.run(PACE)
    await feed.reached(0.1)
    for (const node of cluster.nodes) {
      await node.stop()
      await node.start()
      await cluster.ready()
    }
    stage.faultEnded()
    await publishing
    await stage.conclude({ note: 'one after the other, each awaited until well' })
    expect(stage.fleet.ends).toEqual([])
  })

  test('all nodes killed with kill -9 at once, and started again', async () => {
    const stage = await openClusterStage('cluster: kill -9 of all three')
    const { broker: cluster, feed, random } = stage
    const publishing = feed.run(PACE)
    await feed.reached(0.2)
    await Promise.all(cluster.nodes.map((node) => node.kill()))
    await sleep(1_000 * random())
    await Promise.all(cluster.nodes.map((node) => node.start()))
    stage.faultEnded()
    await publishing
    await stage.conclude({ note: 'sync_interval "always"' })
    expect(stage.fleet.ends).toEqual([])
  })
})

/**
 * From the fault until new leaders answer for all that a worker needs, and from there until the consumer has handed out a
 * message (while RESULTS or LEDGER takes nothing, workers do not pull); as a node sees it that the fault does not touch. No bound is put on either: the first is
 * the broker's own time, and both depend on the machine.
 */
async function measure(cluster: TestCluster, leader: ClusterNode, fault: Fault) {
  const witness = cluster.nodes.find(({ name }) => name !== leader.name)
  const observer = await cluster.connect({ url: witness?.directUrl ?? '' })
  const watch = watchLeaders(observer, GROUPS)
  const began = performance.now()
  const undone = fault(leader, cluster)
  const elected = await watch.ledByAnother(leader.name)
  const resumed = await watch.handedOut(elected)
  watch.close()
  await observer.close()
  expect(elected).toBeGreaterThan(began)
  expect(resumed).toBeGreaterThanOrEqual(elected)
  const undo = (await undone) ?? undefined
  return { electedMs: elected - began, resumedMs: resumed - elected, undo }
}

function inSeconds(ms: number): string {
  return (ms / 1_000).toFixed(2)
}
