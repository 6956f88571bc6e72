import { eventually } from '../../kit/wait.ts'
import { peakOf } from '../../scale/stage.ts'
import { startMeter } from '../compare/cpu.ts'
import {
  BROKER_CPU,
  BROKER_MEMORY,
  cpuFigures,
  type Measured,
  OTHER_WORK,
  PEAK_MEMORY,
  RATE,
} from '../compare/figures.ts'
import { type MeteredProcess, type Program, startMetered } from '../compare/worker-under-test.ts'

/** What a contestant with a store of its own, or with none, says of its run. */
export interface Milestone {
  readonly state: 'warm' | 'done'
  /** Answered so far. */
  readonly answered: number
  /** Monotonic, milliseconds. */
  readonly atMs: number
}

export interface OwnRun {
  readonly program: Program
  /** Processes that keep what it stores. */
  readonly stores: readonly number[]
  readonly signal: AbortSignal
}

/** Who makes the load meanwhile, where that is another process: said with the milestone `ready`. */
interface Generated {
  readonly generator?: number
}

/** What a contestant costs between its milestones `warm` and `done`, both told by itself. */
export async function measureOwn({ program, stores, signal }: OwnRun): Promise<Measured> {
  const started = await startMetered(program, '', signal)
  try {
    const { process: worker, threadNames } = started
    const { generator } = worker.messages.find(({ state }) => state === 'ready') as Generated
    const warm = await reached(started, 'warm', signal)
    const since = await startMeter({ worker: worker.pid, brokers: stores, generator, threadNames })
    const done = await reached(started, 'done', signal)
    const cpu = await since()
    const answered = done.answered - warm.answered
    const { [BROKER_CPU]: storeUs = 0, ...cpuUs } = cpuFigures(cpu, answered)
    return {
      figures: {
        [RATE]: (answered * 1_000) / (done.atMs - warm.atMs),
        ...(stores.length > 0 && { [BROKER_CPU]: storeUs }),
        ...cpuUs,
        [PEAK_MEMORY]: await peakOf([worker.pid]),
        ...(stores.length > 0 && { [BROKER_MEMORY]: await peakOf(stores) }),
      },
      conditions: { [OTHER_WORK]: 100 * cpu.others },
    }
  } finally {
    await started.stop()
  }
}

const LONGEST_MS = 600_000

/** @throws Error with the log of a process that ends before */
export async function reached(
  { process: worker }: MeteredProcess,
  wanted: Milestone['state'],
  signal: AbortSignal,
): Promise<Milestone> {
  let end: unknown
  void worker.ended.then((how) => {
    end = how
  })
  const look = (): Milestone | undefined => {
    signal.throwIfAborted()
    if (end !== undefined) throw new Error(`ended (${String(end)}): ${JSON.stringify(worker.log.slice(-5))}`)
    return worker.messages.find(({ state }) => state === wanted) as Milestone | undefined
  }
  return eventually(`a contestant to be ${wanted}`, look, { everyMs: 5, limitMs: LONGEST_MS })
}
