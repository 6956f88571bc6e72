import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { type ClusterOptions, startTestCluster, type TestCluster } from '../kit/cluster.ts'
import { whyNoNamespaces } from '../kit/namespaces.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { LEADER_FAULTS, type LeaderRun, strike } from './kit/leader-faults.ts'
import { leaderTable, type Recoveries } from './kit/leader-table.ts'
import { EVENTS, IS_FULL, openStage, type Stage } from './kit/stage.ts'
import { standstillMs } from './kit/timeline.ts'

/** How often each leader fault is repeated, on the same cluster: more than once for medians (test/bench/leaders.ts). */
const RUNS = Number(process.env.PELTON_FAULTS_RUNS ?? 1)
/** Events come for longer than an election takes. */
const PACE = { perSecond: EVENTS / (IS_FULL ? 40 : 10) }
/** Where faults are repeated: events until the last, and those that are left at once. */
const LASTING = { perSecond: 50, events: RUNS * 4_500 }

const recoveries: Recoveries[] = []

afterAll(closeBareModels)
afterAll(() => {
  if (recoveries.length > 0) console.log(leaderTable(recoveries))
})

/** Three nodes, three copies of every stream, and the stage on top. */
async function openClusterStage(
  fault: string,
  options: ClusterOptions & { readonly workers?: number; readonly events?: number } = {},
): Promise<Stage<TestCluster>> {
  const { workers = 3, events = EVENTS, ...cluster } = options
  const broker = await startTestCluster(cluster)
  onTestFinished(() => broker.stop())
  return openStage(fault, { broker, topology: { replicas: 3 }, workers, events })
}

describe('a cluster of three', () => {
  for (const leaderFault of LEADER_FAULTS) {
    const { name, isLong, isAlone, losesPackets } = leaderFault
    const title = `${name}${isLong ? ' [full form only]' : ''}`
    test.skipIf(isLong === true && !IS_FULL)(title, async ({ skip }) => {
      const why = losesPackets === true ? whyNoNamespaces() : undefined
      if (why !== undefined) skip(why)
      const stage = await openClusterStage(`cluster: ${name}`, {
        ...(losesPackets === true && { network: 'namespaces' }),
        ...(isAlone === true && { workers: 1 }),
        ...(RUNS > 1 && { events: LASTING.events }),
      })
      const { feed } = stage
      const publishing = feed.run(RUNS > 1 ? LASTING : PACE)
      await feed.reached(RUNS > 1 ? 0.01 : 0.2)
      const runs: LeaderRun[] = []
      while (runs.length < RUNS) runs.push(await strike(stage, leaderFault))
      if (RUNS > 1) feed.send(feed.size)
      await publishing
      const note = runs.map(({ electedMs, resumedMs }) => noteOf(electedMs, resumedMs)).at(-1) ?? ''
      const { answers } = await stage.conclude({ note: RUNS > 1 ? `${RUNS} times` : note })
      expect(stage.fleet.ends).toEqual([])
      const stillMs = runs.map(({ beganAt }, index) =>
        standstillMs(answers, beganAt, runs[index + 1]?.beganAt ?? Date.now()),
      )
      recoveries.push({ fault: name, runs, stillMs })
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

function noteOf(electedMs: number, resumedMs: number): string {
  const seconds = (ms: number): string => (ms / 1_000).toFixed(2)
  return `elected in ${seconds(electedMs)} s, next delivery after another ${seconds(resumedMs)} s`
}
