import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'
import type { RecentLine } from './batch-cost.ts'
import { Openings } from './openings.ts'
import { Paces } from './pace.ts'
import { RunQueue, type RunRequest } from './run-queue.ts'
import { disableRuntimeTelemetry } from './session.ts'
import { createThreadCrew, type ThreadCrew } from './thread-crew.ts'
import type { ThreadHandle } from './thread-handle.ts'
import { fileOf, type ModelFile, type SentRequest, type SessionLimits } from './thread-messages.ts'

import type { AnswerBound } from './withheld.ts'

export type { ModelFile, SessionLimits } from './thread-messages.ts'

/** A run that a thread is busy with. */
export interface CurrentRun {
  readonly key: string
  /** How long it has kept its thread, waiting and the opening of its model excluded, unless that takes a minute. */
  readonly runningMs: number
}

/** What a run cost. */
export interface RunCost {
  /** How long it kept its thread, milliseconds. */
  readonly runMs: number
  /** How long until its outputs were back, milliseconds. */
  readonly tookMs: number
}

/** A run that has ended. */
export interface Ran {
  readonly key: string
  /** Size of the first dimension of its first input. */
  readonly rows: number
  readonly runMs: number
}

export interface RunOptions {
  /** @default all tensor outputs */
  readonly outputNames?: readonly string[]
  /** Whether it may take the slot that is kept free of patient runs (`slots.ts`). @default true */
  readonly isUrgent?: boolean
  /** Outputs that no answer could hold come without their values. @default all come whole */
  readonly bound?: AnswerBound
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
  /**
   * Runs the model for its cost alone, on a thread that has nothing else to do and that a patient run may take. Undefined
   * where there is none, or a run waits. Rejects like `run`.
   */
  measure(
    model: ModelFile,
    inputs: readonly Tensor[],
    outputNames?: readonly string[],
  ): Promise<RunCost | undefined>
  /** Closes models that were opened to be measured, where no run has used them since. */
  endMeasuring(): Promise<void>
  /** @param listener told what each run has cost that was not only measured, as long as there are threads */
  onRan(listener: (run: Ran) => void): void
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
  /** What the last runs of the model of this key cost by their rows; undefined where there was none. */
  costOf(key: string): RecentLine | undefined
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
  /** Of each thread. @default 256 sessions over all threads, and 64 at least in each */
  readonly sessionLimits?: SessionLimits
  /** A clock that never goes back. @default performance.now */
  readonly nowMs?: () => number
}

/** How long opening a model may take, milliseconds: beyond that it counts as a run that does not end. */
const OPEN_LIMIT_MS = 60_000

/** Sessions that all threads together keep open: most models are open in one thread alone. */
const MOST_OPEN = 256
const MOST_OPEN_IN_ONE = 64

function mostOpen(threads: number): number {
  return Math.max(MOST_OPEN_IN_ONE, Math.ceil(MOST_OPEN / threads))
}

/** Starts the threads. A thread that ends by itself fails its own runs and is replaced. */
export function createInferenceThreads(options: InferenceThreadsOptions = {}): InferenceThreads {
  checkSize(options.threads ?? 1)
  disableRuntimeTelemetry()
  return new Threads(options)
}

class Threads implements InferenceThreads {
  readonly size: number
  readonly #nowMs: () => number
  readonly #paces = new Paces()
  readonly #openings = new Openings()
  readonly #crew: ThreadCrew
  readonly #queue: RunQueue
  readonly #onRan: ((run: Ran) => void)[] = []
  #closing: Promise<void> | undefined

  constructor({
    threads: size = 1,
    sessionLimits,
    nowMs = () => performance.now(),
  }: InferenceThreadsOptions) {
    this.size = size
    this.#nowMs = nowMs
    const openings = this.#openings
    this.#crew = createThreadCrew({
      size,
      limits: { maxOpen: mostOpen(size), ...sessionLimits },
      nowMs,
      onOpened: (key, openMs) => openings.opened(key, openMs),
      onChange: () => goOn(this.#crew, this.#queue),
    })
    this.#queue = new RunQueue({
      crew: this.#crew,
      openings,
      nowMs,
      onRan: ({ model: { key }, inputs: [first] }, runMs) => {
        const rows = first?.shape[0] ?? 1
        this.#paces.ran(key, rows, runMs)
        for (const listener of this.#onRan) listener({ key, rows, runMs })
      },
    })
  }

  get busy(): number {
    return busyThreads(this.#crew.threads.keys())
  }

  get waiting(): number {
    return this.#queue.size
  }

  get running(): readonly CurrentRun[] {
    return [...this.#crew.threads.keys()].flatMap((thread) => currentRun(thread, this.#nowMs()) ?? [])
  }

  get isStuck(): boolean {
    return this.#crew.forsaken > 0
  }

  async run(
    model: ModelFile,
    inputs: readonly Tensor[],
    { outputNames, isUrgent = true, bound }: RunOptions = {},
  ): Promise<readonly Tensor[]> {
    this.#checkOpen()
    return await this.#queue.add(runRequest(model, inputs, outputNames, bound), isUrgent)
  }

  async measure(
    model: ModelFile,
    inputs: readonly Tensor[],
    outputNames?: readonly string[],
  ): Promise<RunCost | undefined> {
    this.#checkOpen()
    const startedMs = this.#nowMs()
    const answered = await this.#queue.measure(runRequest(model, inputs, outputNames))
    return answered && { runMs: answered.runMs ?? 0, tookMs: this.#nowMs() - startedMs }
  }

  async endMeasuring(): Promise<void> {
    if (this.#closing === undefined) await this.#queue.endMeasuring()
  }

  onRan(listener: (run: Ran) => void): void {
    this.#onRan.push(listener)
  }

  async load(model: ModelFile): Promise<void> {
    this.#checkOpen()
    await sendToAll(this.#crew, { kind: 'load', model: fileOf(model) })
    for (const open of this.#crew.threads.values()) open.use(model.key, this.#openings.runs)
  }

  async unload(key: string): Promise<void> {
    this.#checkOpen()
    this.#openings.forget(key)
    for (const open of this.#crew.threads.values()) open.delete(key)
    await sendToAll(this.#crew, { kind: 'unload', key })
  }

  isSlow(key: string): boolean {
    return this.#paces.isSlow(key)
  }

  costOf(key: string): RecentLine | undefined {
    return this.#paces.costOf(key)
  }

  forsake(key: string, beyondMs: number, error: PeltonError): void {
    this.#paces.gaveUp(key, beyondMs)
    for (const thread of threadsOf(this.#crew, key, this.#nowMs() - beyondMs))
      this.#queue.forsake(thread, error)
  }

  close(): Promise<void> {
    this.#queue.refuse(closed())
    this.#closing ??= this.#crew.stop()
    return this.#closing
  }

  #checkOpen(): void {
    const error = this.#closing === undefined ? brokenBy(this.#crew) : closed()
    if (error !== undefined) throw error
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

function runRequest(
  model: ModelFile,
  inputs: readonly Tensor[],
  outputNames?: readonly string[],
  bound?: AnswerBound,
): RunRequest {
  const more = { ...(outputNames !== undefined && { outputNames }), ...(bound !== undefined && { bound }) }
  return { kind: 'run', model: fileOf(model), inputs, ...more }
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
