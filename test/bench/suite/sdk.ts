import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import { openStage, type Stage } from '../../scale/stage.ts'
import { prepareSide } from '../compare/checkout.ts'
import { type Measured, RATE } from '../compare/figures.ts'
import { startWorkerUnderTest } from '../compare/worker-under-test.ts'
import type { PeerTask } from '../peers/peer-task.ts'
import { type Ratio, ratio } from './bars.ts'
import type { BenchOptions } from './options.ts'
import { measureOwn } from './own-store.ts'
import type { ScenarioResult, Subject } from './result.ts'
import { type Measurable, measureAll } from './rounds.ts'
import type { Workplace } from './workplace.ts'

/** Where a checkout's SDK is, compiled. */
interface Sdk {
  readonly name: string
  readonly label: string
  readonly path: string
}

/** How fast a producer publishes flights, and how fast a subscriber reads their predictions. */
export async function measureSdk(workplace: Workplace, options: BenchOptions): Promise<ScenarioResult[]> {
  const { rounds, events, other } = options
  const sdks = await sdksOf(workplace, other)
  const measurables: Measurable[] = []
  const subjects: Subject[] = []
  for (const { name, label, path } of sdks) {
    const url = pathToFileURL(path).href
    const [producer, subscriber] = [`producer${name}`, `subscriber${name}`]
    measurables.push(
      { name: producer, measure: () => measureProducer(workplace, url, events) },
      { name: subscriber, measure: () => measureSubscriber(workplace, url, events) },
    )
    subjects.push(
      { name: producer, title: 'publishes JSON flights, each awaited, 10,000 at a time', settings: label },
      { name: subscriber, title: 'reads and acknowledges predictions, outputs decoded', settings: label },
    )
  }
  const runs = await measureAll(workplace, rounds, measurables)
  return [{ scenario: 'sdk', title: 'SDK', told: { events, rounds }, subjects, absent: [], runs }]
}

export function sdkRatios(result: ScenarioResult): Ratio[] {
  return [
    ...ratio(result, RATE, ['producer', 'producer-other'], { kind: 'at least', bar: 2 }),
    ...ratio(result, RATE, ['subscriber', 'subscriber-other']),
    ...ratio(result, RATE, ['subscriber', 'producer'], { kind: 'at least', bar: 1 }),
  ]
}

async function sdksOf(
  { entry, otherFolder, note, signal }: Workplace,
  other: string | undefined,
): Promise<Sdk[]> {
  const own = { name: '', label: 'this checkout', path: entry('shared/sdk/index') }
  if (other === undefined) return [own]
  const side = await prepareSide('base', other, { folder: otherFolder, note, signal })
  const root = dirname(dirname(dirname(side.program)))
  return [own, { name: '-other', label: side.label, path: join(root, 'shared/sdk/index.js') }]
}

function task({ flightsFile }: Workplace, events: number): NodeJS.ProcessEnv {
  const told: PeerTask = { warmUp: Math.ceil(events / 4), events, flights: flightsFile, models: DEMO_MODELS }
  return { PELTON_BENCH_TASK: JSON.stringify(told) }
}

async function measureProducer(workplace: Workplace, sdk: string, events: number): Promise<Measured> {
  const stage = await openStage()
  try {
    return await measureBeside(workplace, stage, 'producer', sdk, events)
  } finally {
    await stage.close()
  }
}

/** What it reads is stored before, by the floor: no worker takes part. */
async function measureSubscriber(workplace: Workplace, sdk: string, events: number): Promise<Measured> {
  const { entry, flights, signal } = workplace
  const stage = await openStage()
  try {
    const count = events + Math.ceil(events / 4)
    await stage.publishFlights(flights, count, [DEMO_MODEL])
    const floor = await startWorkerUnderTest(
      { args: [entry('test/bench/floor/floor-process')] },
      stage,
      signal,
    )
    try {
      await floor.answered(count)
    } finally {
      await floor.stop()
    }
    return await measureBeside(workplace, stage, 'subscriber', sdk, events)
  } finally {
    await stage.close()
  }
}

function measureBeside(
  workplace: Workplace,
  stage: Stage,
  role: 'producer' | 'subscriber',
  sdk: string,
  events: number,
): Promise<Measured> {
  const args = [workplace.entry(`test/bench/peers/${role}-process`), sdk, stage.url]
  const program = { args, env: task(workplace, events) }
  return measureOwn({ program, stores: stage.brokerPids, signal: workplace.signal })
}
