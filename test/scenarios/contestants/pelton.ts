import { setTimeout as sleep } from 'node:timers/promises'
import { type MeteredProcess, startMetered } from '../../bench/compare/worker-under-test.ts'
import type { Workplace } from '../../bench/suite/workplace.ts'
import { countWaiting } from '../../kit/outcomes.ts'
import { eventually } from '../../kit/wait.ts'
import { openStage, type Stage } from '../../scale/stage.ts'
import { type DoorSettings, startGenerator } from '../load/generator.ts'
import type { Contestant, Opened, ScenarioModel } from './contestant.ts'
import { lastOutcome, outcomesAfter } from './register.ts'
import { resolve } from './resolve.ts'

type Way = 'gateway' | 'sdk'

const pelton = (way: Way, title: string): Contestant => ({
  name: `pelton-${way}`,
  title,
  isPeer: false,
  prepare: async (workplace, model) => [
    {
      settings: 'one worker with one inference thread, defaults otherwise',
      open: () => open(workplace, model, way),
    },
  ],
})

export const PELTON_GATEWAY = pelton('gateway', 'Pelton, events over HTTP through one gateway, answers back')
export const PELTON_SDK = pelton(
  'sdk',
  'Pelton, events by one producer of the SDK, until their outcome is stored',
)

async function open(workplace: Workplace, model: ScenarioModel, way: Way): Promise<Opened> {
  const { entry, flightsFile, signal } = workplace
  const stage = await openStage()
  const started: MeteredProcess[] = []
  const start = async (program: string, env: NodeJS.ProcessEnv): Promise<MeteredProcess> => {
    const each = await startMetered({ args: [entry(program)], env, models: model.folder }, stage.url, signal)
    started.push(each)
    return each
  }
  const close = async (): Promise<void> => {
    for (const { stop } of started.reverse()) await stop()
    await stage.close()
  }
  try {
    // What waits when a run is over is not worked off before the worker ends.
    const worker = await start('services/worker/main', { PELTON_THREADS: '1', PELTON_GRACE_MS: '1000' })
    const gateway =
      way === 'sdk' ? undefined : await start('services/gateway/main', { PELTON_GATEWAY_PORT: '0' })
    const door = await doorOf(stage, model, gateway)
    const program = entry('test/scenarios/load/generator-process')
    const generator = await startGenerator(program, { door, flights: flightsFile }, signal)
    let before = await lastOutcome(stage.connection)
    return {
      generator,
      roles: {
        worker: [worker.process.pid],
        broker: stage.brokerPids,
        ...(gateway !== undefined && { gateway: [gateway.process.pid] }),
        generator: [generator.pid],
      },
      threadNames: worker.threadNames,
      settle: (limitMs) => settle(stage, limitMs),
      async outcomesOf(drive, driven) {
        const outcomes = await outcomesAfter(stage.connection, before)
        before = await lastOutcome(stage.connection)
        return resolve(drive, driven, outcomes, way === 'sdk')
      },
      async close() {
        await generator.stop()
        await close()
      },
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

async function doorOf(
  { url }: Stage,
  { name }: ScenarioModel,
  gateway: MeteredProcess | undefined,
): Promise<DoorSettings> {
  if (gateway === undefined) return { kind: 'sdk', url, model: name }
  const serving = (): unknown => gateway.process.log.find(({ msg }) => msg === 'serving')?.address
  const address = String(await eventually('the gateway to serve', serving))
  return {
    kind: 'http',
    address: `${address}/v2/models/${name}/infer`,
    hasParameters: true,
    keepsAlive: true,
  }
}

/** Until no event waits any more. */
async function settle({ connection }: Stage, limitMs: number): Promise<void> {
  const until = performance.now() + limitMs
  while (performance.now() < until && (await countWaiting(connection)) > 0) await sleep(50)
}
