// What it costs to end an event whose deadline has passed, beside a prediction of the same flight: processor time of the worker
// and of the broker for each event. Kinds take turns, on a broker and a worker for each model; what is published is the same but
// for its deadline, and publishing it is part of what the broker does (Linux).
// npx tsx test/bench/shedding.ts [--events=10000] [--runs=5]
import { setTimeout as sleep } from 'node:timers/promises'
import { HEADERS, type HeaderEntry } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { countWaiting } from '../kit/outcomes.ts'
import { median, numberArgument, openStage, type Stage } from '../scale/stage.ts'
import { MODELS } from '../scenarios/model/models.ts'
import { startMeter } from './compare/cpu.ts'
import { startMetered } from './compare/worker-under-test.ts'
import { openWorkplace } from './suite/workplace.ts'

const events = numberArgument('events', 10_000)
const runs = numberArgument('runs', 5)
/** A prediction of the dear model takes 2 ms: fewer of them tell as much. */
const PREDICTIONS = { light: events, deep: Math.ceil(events / 10) } as const
const AT_ONCE = 1_000
const EXPIRED: HeaderEntry = [HEADERS.expiryTime, '2020-01-01T00:00:00Z']

type ModelName = keyof typeof PREDICTIONS

/** Microseconds of processor time for each event. */
interface Cost {
  readonly worker: number
  readonly broker: number
}

const stop = new AbortController()
process.once('SIGINT', () => stop.abort())
const workplace = await openWorkplace({
  note: (text) => process.stderr.write(`${text}\n`),
  signal: stop.signal,
})
const bodies = workplace.flights.map(({ features }) =>
  Buffer.from(JSON.stringify({ features: { ...features } })),
)
let published = 0

async function publish(
  window: PublishWindow,
  model: string,
  count: number,
  more: HeaderEntry[],
): Promise<void> {
  for (let done = 0; done < count; done += AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, count - done) }, async () => {
        const id = `event-${published++}`
        const headers: HeaderEntry[] = [[HEADERS.id, id], [HEADERS.source, '/bench'], ...more]
        const subject = subjects.feature({ pool: 'default', model, lane: 'normal' })
        const body = bodies[published % bodies.length] as Buffer
        const reply = await window.publish({ subject, headers, body })
        if (reply.kind !== 'stored') throw new Error(reply.description)
      }),
    )
}

async function settled({ connection }: Stage): Promise<void> {
  while ((await countWaiting(connection)) > 0) {
    stop.signal.throwIfAborted()
    await sleep(20)
  }
}

/** Predictions and expired events of a model, in turns. */
async function measure(name: ModelName): Promise<Readonly<Record<'predicted' | 'expired', readonly Cost[]>>> {
  const model = MODELS[name]
  const stage = await openStage()
  const args = [workplace.entry('services/worker/main')]
  const worker = await startMetered({ args, models: model.folder }, stage.url, stop.signal)
  const window = new PublishWindow(stage.connection)
  const costs = { predicted: [] as Cost[], expired: [] as Cost[] }
  const run = async (kind: keyof typeof costs): Promise<void> => {
    const count = kind === 'expired' ? events : PREDICTIONS[name]
    const { threadNames, process: metered } = worker
    const meter = await startMeter({ worker: metered.pid, brokers: stage.brokerPids, threadNames })
    await publish(window, model.name, count, kind === 'expired' ? [EXPIRED] : [])
    await settled(stage)
    const { us } = await meter()
    costs[kind].push({ worker: (us.worker ?? 0) / count, broker: (us.broker ?? 0) / count })
  }
  try {
    // The first of each is for whatever compiles and grows.
    for (let turn = 0; turn <= runs; turn++)
      for (const kind of ['predicted', 'expired'] as const) await run(kind)
    return { predicted: costs.predicted.slice(1), expired: costs.expired.slice(1) }
  } finally {
    window.close()
    await worker.stop()
    await stage.close()
  }
}

const middle = (costs: readonly Cost[], of: keyof Cost): number => median(costs.map((cost) => cost[of]))

try {
  for (const name of ['light', 'deep'] as const) {
    const costs = await measure(name)
    for (const [kind, all] of Object.entries(costs))
      console.log(
        `${name} ${kind}: worker ${middle(all, 'worker').toFixed(1)} µs, broker ${middle(all, 'broker').toFixed(1)} µs an event`,
      )
    const ratios = costs.expired.map(
      ({ worker }, turn) => worker / (costs.predicted[turn]?.worker ?? Number.NaN),
    )
    const shown = ratios.map((ratio) => ratio.toFixed(3)).join(', ')
    console.log(
      `${name}: an expired event costs the worker ${median(ratios).toFixed(3)} of a prediction (${shown})`,
    )
  }
} finally {
  await workplace.close()
}
