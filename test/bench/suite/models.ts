import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import type { ModelRecord } from '../../../shared/operations/models/model-record.ts'
import { openPoolModels } from '../../../shared/operations/models/pool-models.ts'
import { eventually } from '../../kit/wait.ts'
import { memoryOf, openStage } from '../../scale/stage.ts'
import { startMeter } from '../compare/cpu.ts'
import { type Measured, OTHER_WORK, RATE } from '../compare/figures.ts'
import { startMetered } from '../compare/worker-under-test.ts'
import { limit, type Ratio, ratio } from './bars.ts'
import { measureWorker, tracedFlights, warmUpOf } from './on-jetstream.ts'
import type { BenchOptions } from './options.ts'
import type { ScenarioResult, Subject } from './result.ts'
import { measureAll } from './rounds.ts'
import { MODEL_VERSION, type Workplace } from './workplace.ts'

const IDLE = '% of a core'
/**
 * After the last work: when an idle process has filled the room for young objects once, which takes it some 50 s, V8 cleans
 * and shrinks its heap, and not again.
 */
const SETTLE_MS = 90_000
/** A worker that has nothing to do measures its models first, milliseconds. */
const MEASURED_MS = 600_000

/** Many models in one folder: an idle worker, one of them in use beside the others, all of them one event each in turn. */
export async function measureModels(
  workplace: Workplace,
  { rounds, events, models, seconds }: BenchOptions,
): Promise<ScenarioResult[]> {
  const names = Array.from({ length: models }, (_model, index) => `model-${index}`)
  const used = names[Math.floor(models / 2)] ?? ''
  const [many, alone] = [join(workplace.folder, 'many'), join(workplace.folder, 'alone')]
  for (const name of names) await copyModel(join(many, name))
  await copyModel(join(alone, used))
  const truth = await workplace.truth()
  const drain = (folder: string, asked: readonly string[]) => (): Promise<Measured> => {
    const fill = tracedFlights(workplace, asked)
    return measureWorker(workplace, { warmUp: warmUpOf(events), events, models: folder, fill, truth })
  }
  const runs = await measureAll(workplace, rounds, [
    { name: 'idle', measure: () => measureIdle(workplace, many, seconds) },
    { name: 'alone', measure: drain(alone, [used]) },
    { name: 'one', measure: drain(many, [used]) },
    { name: 'all', measure: drain(many, names) },
  ])
  const told = { models, events, seconds, rounds }
  return [{ scenario: 'models', title: 'Many models', told, subjects: subjectsOf(models), absent: [], runs }]
}

export function modelsRatios(result: ScenarioResult): Ratio[] {
  return [
    ...limit(result, `${IDLE} worker`, 'idle', { kind: 'at most', bar: 0.5 }),
    ...ratio(result, RATE, ['one', 'alone'], { kind: 'at least', bar: 0.9 }),
    ...ratio(result, RATE, ['all', 'alone'], { kind: 'at least', bar: 0.3 }),
  ]
}

function subjectsOf(models: number): readonly Subject[] {
  const settings = 'copies of the model of the demo'
  return [
    { name: 'idle', title: `a worker with ${models} models and no events`, settings },
    { name: 'alone', title: 'the model alone in its folder', settings },
    { name: 'one', title: `one of ${models}, the others unused`, settings },
    { name: 'all', title: `all ${models}, one event each in turn`, settings },
  ]
}

async function copyModel(folder: string): Promise<void> {
  await cp(join(DEMO_MODELS, DEMO_MODEL, MODEL_VERSION), join(folder, '1'), { recursive: true })
}

/** Resolves once workers have measured every model. */
async function measured(connection: NatsConnection, signal: AbortSignal): Promise<void> {
  const pool = await openPoolModels(connection, { pool: 'default' })
  const isMeasured = ({ calibrations = [] }: ModelRecord): boolean =>
    calibrations.some(({ cost }) => cost !== undefined)
  try {
    await eventually('all models to be measured', () => signal.aborted || [...pool.all()].every(isMeasured), {
      limitMs: MEASURED_MS,
    })
  } finally {
    await pool.close()
  }
}

/** What a worker costs that has nothing to do, and has measured its models. */
async function measureIdle({ entry, signal }: Workplace, models: string, seconds: number): Promise<Measured> {
  const stage = await openStage()
  try {
    const startedAt = performance.now()
    const program = { args: [entry('services/worker/main')], models }
    const { process: worker, threadNames, stop } = await startMetered(program, stage.url, signal)
    try {
      const readyMs = performance.now() - startedAt
      await measured(stage.connection, signal)
      await sleep(SETTLE_MS, undefined, { signal })
      const since = await startMeter({ worker: worker.pid, brokers: stage.brokerPids, threadNames })
      await sleep(1_000 * seconds, undefined, { signal })
      const cpu = await since()
      const { nowMiB } = await memoryOf(worker.pid)
      const shares = Object.entries(cpu.us).map(([name, us]) => [`${IDLE} ${name}`, us / (10_000 * seconds)])
      return {
        figures: {
          ...Object.fromEntries(shares),
          'ready after s': readyMs / 1_000,
          'MiB worker': nowMiB,
        },
        conditions: { [OTHER_WORK]: 100 * cpu.others },
      }
    } finally {
      await stop()
    }
  } finally {
    await stage.close()
  }
}
