import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'
import { Paces } from './pace.ts'
import { RunQueue, type RunRequest } from './run-queue.ts'
import { disableRuntimeTelemetry } from './session.ts'
import { createThreadCrew, type ThreadCrew } from './thread-crew.ts'
import type { ThreadHandle } from './thread-handle.ts'
import { fileOf, type ModelFile, type SentRequest, type SessionLimits } from './thread-messages.ts'

export type { ModelFile, SessionLimits } from './thread-messages.ts'

/** A run that a thread is busy with. */
export interface CurrentRun {
  readonly key: string
  /** How long it has kept its thread, waiting and the opening of its model excluded, unless that takes a minute. */
  readonly runningMs: number
}

export interface RunOptions {
  /** @default all tensor outputs */
  readonly outputNames?: readonly string[]
  /** Whether it may take the slot that is kept free of patient runs (`slots.ts`). @default true */
  readonly isUrgent?: boolean
}

/** Threads that run models, so that the main thread stays free for the protocol. */
export interface InferenceThreads {
  /**
   * Runs a model on the least busy thread it may take. The inputs are copied and stay usable. How many runs are open at
   * once is the caller's to bound. Rejects with `inference-failed` (this run failed, or its thread ended),
   * `model-unavailable` (the model cannot be opened here: its file is gone, cannot be read or has changed, memory is
   * missing; that is no fault of the inputs), `closed`, or what {@link forsake} was told.
   */
  run(model: ModelFile, inputs: readonly Tensor[], options?: RunOptions): Promise<readonly Tensor[]>
  /** Opens the model in every thread, ahead of its first run. Rejects like `run`. */
  load(model: ModelFile): Promise<void>
  /** Closes the model in every thread, behind the runs already sent. A later run opens it again. */
  unload(key: string): Promise<void>
  /** How many threads there are. */
  readonly size: number
  /** How many threads have something to do. */
  readonly busy: number
  /** Runs waiting for a thread to take them. */
  readonly waiting: number
  /** The runs under way: what a watchdog looks at, since a run cannot be interrupted. */
  readonly running: readonly CurrentRun[]
  /** Whether the last runs of the model of this key were longer than others should wait for. */
  isSlow(key: string): boolean
  /**
   * Gives up the threads that have run this model for longer than `beyondMs`: their runs reject with `error`, what waits
   * behind them runs elsewhere, and other threads take their place. Nothing ends such a thread but the end of its process.
   */
  forsake(key: string, beyondMs: number, error: PeltonError): void
  /** Whether a thread that was forsaken is still inside its run: this process can only be killed. */
  readonly isStuck: boolean
  /**
   * Refuses new runs and those still waiting with `closed`, lets the threads finish what they have, and resolves when
   * they have ended: never, if a run never ends. Those forsaken are not waited for. May be called twice.
   */
  close(): Promise<void>
}

export interface InferenceThreadsOptions {
  /** @default 1 */
  readonly threads?: number
  readonly sessionLimits?: SessionLimits
  /** A clock that never goes back. @default performance.now */
  readonly nowMs?: () => number
}

/** How long opening a model may take, milliseconds: beyond that it counts as a run that does not end. */
const OPEN_LIMIT_MS = 60_000

/** Starts the threads. A thread that ends by itself fails its own runs and is replaced. */
export function createInferenceThreads(options: InferenceThreadsOptions = {}): InferenceThreads {
  const { threads: size = 1, sessionLimits: limits = {}, nowMs = () => performance.now() } = options
  checkSize(size)
  disableRuntimeTelemetry()
  const paces = new Paces()
  const onRan = (key: string, runMs: number): void => paces.ran(key, runMs)
  const crew = createThreadCrew({ size, limits, nowMs, onRan, onChange: () => goOn(crew, queue) })
  const queue = new RunQueue(crew, nowMs)
  let closing: Promise<void> | undefined
  const checkOpen = (): void => {
    const error = closing === undefined ? brokenBy(crew) : closed()
    if (error !== undefined) throw error
  }

  return {
    async run(model, inputs, { outputNames, isUrgent = true } = {}) {
      checkOpen()
      return await queue.add(runRequest(model, inputs, outputNames), isUrgent)
    },
    async load(model) {
      checkOpen()
      await sendToAll(crew, { kind: 'load', model: fileOf(model) })
      for (const keys of crew.threads.values()) keys.add(model.key)
    },
    async unload(key) {
      checkOpen()
      for (const keys of crew.threads.values()) keys.delete(key)
      await sendToAll(crew, { kind: 'unload', key })
    },
    size,
    get busy() {
      return busyThreads(crew.threads.keys())
    },
    get waiting() {
      return queue.size
    },
    get running() {
      return [...crew.threads.keys()].flatMap((thread) => currentRun(thread, nowMs()) ?? [])
    },
    isSlow: (key) => paces.isSlow(key),
    forsake(key, beyondMs, error) {
      paces.ran(key, beyondMs)
      for (const thread of threadsOf(crew, key, nowMs() - beyondMs)) queue.forsake(thread, error)
    },
    get isStuck() {
      return crew.forsaken > 0
    },
    close() {
      queue.refuse(closed())
      closing ??= crew.stop()
      return closing
    },
  }
}

/** After the threads have changed. */
function goOn(crew: ThreadCrew, queue: RunQueue): void {
  const error = brokenBy(crew)
  if (error === undefined) queue.dispatch()
  else queue.refuse(error)
}

/** The threads that have run this model since before a time. */
function threadsOf({ threads }: ThreadCrew, key: string, beforeMs: number): ThreadHandle[] {
  return [...threads.keys()].filter((thread) => {
    const run = currentRun(thread, beforeMs)
    return run?.key === key && run.runningMs > 0
  })
}

/** Why there is no thread, and will be none. */
function brokenBy({ failure, threads }: ThreadCrew): PeltonError | undefined {
  return threads.size === 0 ? failure : undefined
}

async function sendToAll({ threads }: ThreadCrew, request: SentRequest): Promise<void> {
  await Promise.all([...threads.keys()].map((thread) => thread.send(request, [])))
}

function runRequest(model: ModelFile, inputs: readonly Tensor[], names?: readonly string[]): RunRequest {
  const request = { kind: 'run', model: fileOf(model), inputs } as const
  return names === undefined ? request : { ...request, outputNames: names }
}

function busyThreads(threads: Iterable<ThreadHandle>): number {
  let busy = 0
  for (const thread of threads) busy += thread.inFlight > 0 ? 1 : 0
  return busy
}

function currentRun({ current }: ThreadHandle, nowMs: number): CurrentRun | undefined {
  if (current === undefined || current.request.kind === 'unload') return undefined
  const sinceMs = nowMs - current.sinceMs
  const runningMs = current.isOpening ? Math.max(0, sinceMs - OPEN_LIMIT_MS) : sinceMs
  return { key: current.request.model.key, runningMs }
}

function checkSize(size: number): void {
  if (Number.isInteger(size) && size >= 1 && size <= 256) return
  throw new PeltonError('invalid-argument', 'this is no number of inference threads', {
    field: 'threads',
    value: showValue(size),
    remedy: 'Use an integer from 1 to 256; the number of cores minus one is a good start.',
  })
}

function closed(): PeltonError {
  return new PeltonError('closed', 'the inference threads are closed')
}
