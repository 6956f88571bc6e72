import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'
import { disableRuntimeTelemetry } from './session.ts'
import { createThreadCrew, type ThreadCrew } from './thread-crew.ts'
import type { ThreadHandle } from './thread-handle.ts'
import { type ModelFile, packTensors, type SessionLimits, type ThreadRequest } from './thread-messages.ts'

export type { ModelFile, SessionLimits } from './thread-messages.ts'

/** A run that a thread is busy with. */
export interface CurrentRun {
  readonly key: string
  /** How long it has kept its thread, waiting excluded. */
  readonly runningMs: number
}

/** Threads that run models, so that the main thread stays free for the protocol. */
export interface InferenceThreads {
  /**
   * Runs a model on the least busy thread; `outputNames` default to all tensor outputs. The inputs are copied and stay
   * usable. How many runs are open at once is the caller's to bound. Rejects with `inference-failed` (this run failed,
   * or its thread ended), `model-unavailable` (the model cannot be opened here: its file is gone, cannot be read or has
   * changed, memory is missing; that is no fault of the inputs) or `closed`.
   */
  run(
    model: ModelFile,
    inputs: readonly Tensor[],
    outputNames?: readonly string[],
  ): Promise<readonly Tensor[]>
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
  /** The run that has kept a thread longest: what a watchdog looks at, since a run cannot be interrupted. */
  readonly longestRun: CurrentRun | undefined
  /**
   * Refuses new runs and those still waiting with `closed`, lets the threads finish what they have, and resolves when
   * they have ended: never, if a run never ends. May be called twice.
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

interface Job {
  readonly request: ThreadRequest & { readonly kind: 'run' }
  readonly resolve: (outputs: Promise<readonly Tensor[]>) => void
  readonly reject: (error: PeltonError) => void
}

/** What a thread holds at most: one run under way and one behind it, so that it never waits for the main thread. */
const DEPTH = 2

/** Starts the threads. A thread that ends by itself fails its own runs and is replaced. */
export function createInferenceThreads(options: InferenceThreadsOptions = {}): InferenceThreads {
  const { threads: size = 1, sessionLimits: limits = {}, nowMs = () => performance.now() } = options
  checkSize(size)
  disableRuntimeTelemetry()
  const queue: Job[] = []
  const onChange = (): void => {
    if (crew.failure !== undefined && crew.threads.size === 0) refuseWaiting(queue, crew.failure)
    else dispatch(crew, queue)
  }
  const crew = createThreadCrew({ size, limits, nowMs, onChange })
  let closing: Promise<void> | undefined
  const checkOpen = (): void => {
    if (closing !== undefined) throw closed()
    if (crew.failure !== undefined && crew.threads.size === 0) throw crew.failure
  }

  return {
    async run(model, inputs, outputNames) {
      checkOpen()
      const request = runRequest(model, inputs, outputNames)
      return await enqueue(crew, queue, request)
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
      return queue.length
    },
    get longestRun() {
      return longestRun(crew.threads.keys(), nowMs())
    },
    close() {
      refuseWaiting(queue, closed())
      closing ??= crew.stop()
      return closing
    },
  }
}

function enqueue(crew: ThreadCrew, queue: Job[], request: Job['request']): Promise<readonly Tensor[]> {
  return new Promise((resolve, reject) => {
    queue.push({ request, resolve, reject })
    dispatch(crew, queue)
  })
}

/** Hands out what waits, as long as a thread has room. */
function dispatch(crew: ThreadCrew, queue: Job[]): void {
  while (true) {
    const thread = queue[0] && choose(crew, queue[0].request.model.key)
    const job = thread && queue.shift()
    if (thread === undefined || job === undefined) return
    crew.threads.get(thread)?.add(job.request.model.key)
    const { tensors: inputs, transfer } = packTensors(job.request.inputs)
    const next = (): void => dispatch(crew, queue)
    const sent = thread.send({ ...job.request, inputs }, transfer)
    job.resolve(sent)
    sent.then(next, next)
  }
}

/** The thread with the least to do; among equals, one that knows the model already. */
function choose(crew: ThreadCrew, key: string): ThreadHandle | undefined {
  let best: ThreadHandle | undefined
  let bestCost = DEPTH
  for (const [thread, keys] of crew.threads) {
    const cost = thread.inFlight + (keys.has(key) ? 0 : 0.5)
    if (cost < bestCost) {
      best = thread
      bestCost = cost
    }
  }
  return best
}

async function sendToAll({ threads }: ThreadCrew, request: ThreadRequest): Promise<void> {
  await Promise.all([...threads.keys()].map((thread) => thread.send(request, [])))
}

function runRequest(model: ModelFile, inputs: readonly Tensor[], names?: readonly string[]): Job['request'] {
  const request = { kind: 'run', model: fileOf(model), inputs } as const
  return names === undefined ? request : { ...request, outputNames: names }
}

/** Only what a message can carry: callers pass whole models. */
function fileOf({ key, path, digest }: ModelFile): ModelFile {
  return digest === undefined ? { key, path } : { key, path, digest }
}

function busyThreads(threads: Iterable<ThreadHandle>): number {
  let busy = 0
  for (const thread of threads) busy += thread.inFlight > 0 ? 1 : 0
  return busy
}

function longestRun(threads: Iterable<ThreadHandle>, nowMs: number): CurrentRun | undefined {
  let longest: CurrentRun | undefined
  for (const { current } of threads) {
    if (current === undefined || current.request.kind === 'unload') continue
    const runningMs = nowMs - current.sinceMs
    if (longest === undefined || runningMs > longest.runningMs) {
      longest = { key: current.request.model.key, runningMs }
    }
  }
  return longest
}

function refuseWaiting(queue: Job[], error: PeltonError): void {
  for (const { reject } of queue.splice(0)) reject(error)
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
