import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../../../shared/operations/audit/audit.ts'
import { isSignable } from '../../../shared/operations/audit/report.ts'
import { reportLines } from '../../../shared/operations/audit/report-lines.ts'
import { readKey } from '../../../shared/operations/keys/key-text.ts'
import { createKey } from '../../../shared/operations/keys/keys.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { type MeteredProcess, startMetered } from '../../bench/compare/worker-under-test.ts'
import type { Workplace } from '../../bench/suite/workplace.ts'
import { gatewayIsReady } from '../../kit/gateway-process.ts'
import { countWaiting } from '../../kit/outcomes.ts'
import { eventually } from '../../kit/wait.ts'
import { openStage, type Stage } from '../../scale/stage.ts'
import { type DoorSettings, startGenerator } from '../load/generator.ts'
import { type OfSources, ofSources, SOURCES, type Source } from '../load/schedule.ts'
import { FAILING, withFailing } from '../model/failing.ts'
import { unprotected } from '../model/unprotected.ts'
import { openBackfill } from './backfill.ts'
import type { Contestant, Opened, OpenWish, ScenarioModel } from './contestant.ts'
import { lastOutcome, outcomesAfter } from './register.ts'
import { resolve } from './resolve.ts'
import { subscribeInVain } from './subscribe-in-vain.ts'

/** A way in: through a gateway, by producers of the SDK, or by producers that ask nobody before they publish. */
type Way = 'gateway' | 'sdk' | 'nats'

interface Form {
  readonly name: string
  readonly title: string
  readonly ways: readonly Way[]
  /** Undefined where nothing protects it: its model's admission is off. */
  readonly promises: Contestant['promises']
}

const FORMS: readonly Form[] = [
  {
    name: 'pelton-gateway-off',
    title: 'Pelton without protection, events over HTTP through one gateway, answers back',
    ...{ ways: ['gateway'], promises: undefined },
  },
  {
    name: 'pelton-sdk-off',
    title: 'Pelton without protection, events by one producer of the SDK, until their outcome is stored',
    ...{ ways: ['sdk'], promises: undefined },
  },
  {
    name: 'pelton-gateway',
    title: 'Pelton, events over HTTP through one gateway, answers back',
    ...{ ways: ['gateway'], promises: 'doors' },
  },
  {
    name: 'pelton-sdk',
    title: 'Pelton, events by one producer of the SDK, until their outcome is stored',
    ...{ ways: ['sdk'], promises: 'doors' },
  },
  {
    name: 'pelton-nats',
    title: 'Pelton, events by plain producers of NATS, which ask nobody before they publish',
    ...{ ways: ['nats'], promises: 'plain' },
  },
  {
    name: 'pelton-both',
    title: 'Pelton, half of the events over HTTP and half by the SDK, from two sources with a key each',
    ...{ ways: ['gateway', 'sdk'], promises: 'sources' },
  },
]

/** Pelton in all its forms. */
export const PELTON: readonly Contestant[] = FORMS.map((form) => ({
  name: form.name,
  title: form.title,
  isPeer: false,
  ...(form.promises !== undefined && { promises: form.promises }),
  prepare: async (workplace, model) => {
    const served = form.promises !== undefined ? model : await unprotected(model, workplace.folder)
    const settings = 'one worker with one inference thread, defaults otherwise'
    return [{ settings, open: (wish) => open(workplace, served, form, wish) }]
  },
}))

async function open(
  workplace: Workplace,
  all: ScenarioModel,
  { ways }: Form,
  { streamEvents, hotFails = false, backfill: wished }: OpenWish = {},
): Promise<Opened> {
  const { entry, flights, flightsFile, folder, signal } = workplace
  const model = hotFails ? await withFailing(all, folder) : all
  const models = { other: model.name, hot: hotFails ? FAILING : model.name }
  const topology = streamEvents === undefined ? undefined : { featuresMaxMessages: streamEvents }
  const stage = await openStage({ topology })
  const started: MeteredProcess[] = []
  let endSubscriber: (() => Promise<void>) | undefined
  const start = async (program: string, env: NodeJS.ProcessEnv): Promise<MeteredProcess> => {
    const each = await startMetered({ args: [entry(program)], env, models: model.folder }, stage.url, signal)
    started.push(each)
    return each
  }
  const close = async (): Promise<void> => {
    await endSubscriber?.()
    for (const { stop } of started.reverse()) await stop()
    await stage.close()
  }
  try {
    // What waits when a run is over is not worked off before the worker ends.
    const worker = await start('services/worker/main', { PELTON_THREADS: '1', PELTON_GRACE_MS: '1000' })
    const keys = ways.length > 1 ? await keysIn(stage, models) : undefined
    const env = { PELTON_GATEWAY_PORT: '0', ...(keys !== undefined && { PELTON_GATEWAY_KEYS: 'always' }) }
    const gateway = ways.includes('gateway') ? await start('services/gateway/main', env) : undefined
    const doors = await Promise.all(ways.map((way) => doorOf(way, { stage, models, gateway, keys })))
    const program = entry('test/scenarios/load/generator-process')
    const door: DoorSettings = doors.length === 1 ? (doors[0] as DoorSettings) : { kind: 'in-turn', doors }
    const generator = await startGenerator(program, { door, flights: flightsFile }, signal)
    if (hotFails) endSubscriber = await subscribeInVain(stage.url, model.name)
    const ground = { stage, model: model.name, flights, cli: entry('services/cli/main'), signal }
    const backfill = wished === undefined ? undefined : await openBackfill(ground, wished)
    let before = await lastOutcome(stage.connection)
    return {
      ...{ generator, backfill },
      get roles() {
        return {
          worker: [worker.process.pid],
          broker: stage.brokerPids,
          ...(gateway !== undefined && { gateway: [gateway.process.pid] }),
          ...(backfill?.pid !== undefined && { replay: [backfill.pid] }),
          generator: [generator.pid],
        }
      },
      threadNames: worker.threadNames,
      settle: (limitMs) => settle(stage, limitMs),
      async outcomesOf(drive, driven) {
        const outcomes = await outcomesAfter(stage.connection, before)
        before = await lastOutcome(stage.connection)
        const backfilled = backfill?.endOf(outcomes)
        const isAnswered = ways.some((way) => way !== 'gateway')
        return { ...resolve(drive, driven, outcomes, isAnswered), backfilled }
      },
      restartBroker: async () => stage.restart?.(),
      audit: () => auditOf(stage, signal),
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

/** An API key for each source. */
async function keysIn({ connection }: Stage, models: OfSources<string>): Promise<OfSources<string>> {
  const window = new PublishWindow(connection)
  const make = async (source: Source): Promise<string> => {
    const wish = {
      name: source,
      models: [models[source]],
      pool: 'default',
      highestLane: 'high',
      by: 'scenarios',
    } as const
    return (await createKey({ connection, window }, wish)).text
  }
  const [other, hot] = (await Promise.all(SOURCES.map(make))) as [string, string]
  window.close()
  return { other, hot }
}

interface Behind {
  readonly stage: Stage
  readonly models: OfSources<string>
  readonly gateway: MeteredProcess | undefined
  readonly keys: OfSources<string> | undefined
}

async function doorOf(way: Way, { stage: { url }, models, gateway, keys }: Behind): Promise<DoorSettings> {
  if (way !== 'gateway') {
    // Whoever has a key and publishes by itself as well is one source.
    const sources = keys === undefined ? { other: 'scenarios', hot: 'hot' } : sourcesOf(keys)
    return { kind: 'sdk', url, models, isPlain: way === 'nats', sources }
  }
  const serving = (): unknown => gateway?.process.log.find(({ msg }) => msg === 'serving')?.address
  const address = String(await eventually('the gateway to serve', serving))
  await gatewayIsReady(address)
  return {
    kind: 'http',
    addresses: ofSources((source) => `${address}/v2/models/${models[source]}/infer`),
    hasParameters: true,
    keepsAlive: true,
    ...(keys !== undefined && { keys }),
  }
}

/** What events of a key's holder are of, as the gateway says it. */
function sourcesOf({ other, hot }: OfSources<string>): OfSources<string> {
  const ofKey = (key: string): string => `key/${readKey(key)?.id}`
  return { other: ofKey(other), hot: ofKey(hot) }
}

/** Every event, from the first on, against every outcome that is stored. */
async function auditOf({ connection }: Stage, signal: AbortSignal): Promise<string | undefined> {
  const { report } = await audit(connection, { deep: true, full: true, signal })
  if (isSignable(report) && report.lost.length === 0) return undefined
  return reportLines(report)
    .map(({ text }) => text)
    .join('; ')
}

/** Until no event waits any more. */
async function settle({ connection }: Stage, limitMs: number): Promise<void> {
  const until = performance.now() + limitMs
  while (performance.now() < until && (await countWaiting(connection)) > 0) await sleep(50)
}
