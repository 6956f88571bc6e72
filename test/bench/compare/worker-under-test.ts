import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DEMO_MODELS } from '../../../services/demo/models.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { startWorkerProcess, type WorkerProcess } from '../../kit/worker-process.ts'
import type { Stage } from '../../scale/stage.ts'

/** One worker of one side, answering the events of one stage. */
export interface WorkerUnderTest {
  readonly pid: number
  /** Where its threads say which they are. */
  readonly threadNames: string
  /**
   * Waits until there are so many outcomes or more, and says how many.
   *
   * @throws when the worker ends, when nothing moves for a minute, or when told to stop
   */
  answered(count: number): Promise<number>
  /** Ends it; drained where nothing went wrong. */
  stop(): Promise<void>
}

const LOOK_EVERY_MS = 50
const STUCK_MS = 60_000
const THREAD_NAME = fileURLToPath(new URL('./thread-name.cjs', import.meta.url))

/** What is started: a worker, or what is measured beside one. */
export interface Program {
  /** Arguments of `node`: a compiled entry first. */
  readonly args: readonly string[]
  /** Beside where the broker and the models are, as a worker is told. */
  readonly env?: NodeJS.ProcessEnv
  /** @default the demo's */
  readonly models?: string
}

/** A process whose threads say which they are. */
export interface MeteredProcess {
  readonly process: WorkerProcess
  readonly threadNames: string
  /** Ends it; drained where nothing went wrong. */
  stop(): Promise<void>
}

/** @param url of the broker; empty where it needs none */
export async function startMetered(
  { args, env = {}, models = DEMO_MODELS }: Program,
  url: string,
  signal: AbortSignal,
): Promise<MeteredProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-compare-threads-'))
  const threadNames = join(folder, 'threads')
  const naming = {
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --require ${JSON.stringify(THREAD_NAME)}`.trim(),
    PELTON_BENCH_THREADS: threadNames,
  }
  const started = startWorkerProcess({ url, models, program: args, env: { ...env, ...naming } })
  const worker = await started.catch(async (thrown: unknown) => {
    await rm(folder, { recursive: true, force: true })
    throw thrown
  })
  return {
    process: worker,
    threadNames,
    async stop() {
      worker.kill(signal.aborted ? 'SIGKILL' : 'SIGTERM')
      await worker.ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export async function startWorkerUnderTest(
  program: Program,
  stage: Stage,
  signal: AbortSignal,
): Promise<WorkerUnderTest> {
  const { process: worker, threadNames, stop } = await startMetered(program, stage.url, signal)
  return {
    pid: worker.pid,
    threadNames,
    answered: (count) => answered(stage, worker, count, signal),
    stop,
  }
}

async function answered(
  stage: Stage,
  worker: WorkerProcess,
  count: number,
  signal: AbortSignal,
): Promise<number> {
  let ended: number | string | undefined
  void worker.ended.then((end) => {
    ended = end
  })
  for (let seen = -1, movedAt = performance.now(); ; ) {
    signal.throwIfAborted()
    if (ended !== undefined)
      throw new Error(`the worker ended (${ended}):\n${JSON.stringify(worker.log.slice(-5), null, 1)}`)
    const outcomes = await stage.outcomes()
    if (outcomes >= count) return outcomes
    if (outcomes > seen) movedAt = performance.now()
    else if (performance.now() - movedAt > STUCK_MS)
      throw new Error(`${outcomes} of ${count} outcomes, and no other for ${STUCK_MS / 1_000} s`)
    seen = outcomes
    await sleep(LOOK_EVERY_MS)
  }
}

/** A worker that refuses its events is fast, and says nothing. */
export async function refuseDeadLetters({ connection }: Stage): Promise<void> {
  const dead = (await streamInfo(connection, STREAMS.deadLetters))?.state.messages ?? 0
  if (dead > 0) throw new Error(`${dead} events became dead letters: this worker does not predict this load`)
}
