import { Worker } from 'node:worker_threads'
import { siblingThreadEntry } from '../runtime/source-entry.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { type FromThread, fromErrorMessage, type SentRequest, type SessionLimits } from './thread-messages.ts'

/** What came of a request. */
export interface Answered {
  readonly outputs: readonly Tensor[]
  /** How long the run took, milliseconds, the opening of its model excluded; undefined where none ran. */
  readonly runMs: number | undefined
}

/** One inference thread, seen from the main thread. */
export interface ThreadHandle {
  /** Sends a request; the thread answers in order. Rejects with `inference-failed` when the thread ends first. */
  send(request: SentRequest, transfer: readonly ArrayBuffer[]): Promise<Answered>
  /** Requests sent and not yet answered. */
  readonly inFlight: number
  /** The request it is working on, and since when: since its model is open, or is being opened. */
  readonly current:
    | { readonly request: SentRequest; readonly sinceMs: number; readonly isOpening: boolean }
    | undefined
  /** Asks it to finish what it has and to end; resolves when it has ended. Never cut short: see below. */
  stop(): Promise<void>
}

export interface ThreadHandleOptions {
  readonly limits: SessionLimits
  readonly nowMs: () => number
  /** Told how long opening a model took, milliseconds. */
  readonly onOpened?: (key: string, openMs: number) => void
  /** Told of a model that was closed for want of room, and that nothing it was sent will open again. */
  readonly onClosed?: (key: string) => void
  /** Called once when the thread has ended; `wasReady` tells a crash from a thread that could not start. */
  readonly onExit: (wasReady: boolean, failure: unknown) => void
}

interface Pending {
  readonly id: number
  readonly request: SentRequest
  readonly resolve: (answered: Answered) => void
  readonly reject: (error: PeltonError) => void
}

/**
 * Starts a thread. It is only ever asked to stop: the runtime cannot interrupt a run, and `terminate()` during one
 * aborts the whole process.
 */
export function startThread(options: ThreadHandleOptions): ThreadHandle {
  const { nowMs, onExit } = options
  const worker = startWorker(options.limits)
  // In the order they were sent; a few. No Map, which V8 would keep batches by after they are answered.
  const pending: Pending[] = []
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  let since = { sinceMs: 0, isOpening: false }
  let [nextId, isReady] = [0, false]
  let failure: unknown

  const begin = (isOpening = false): void => {
    since = { sinceMs: nowMs(), isOpening }
  }
  function settle(id: number): Pending | undefined {
    const at = pending.findIndex((one) => one.id === id)
    begin() // the next in line starts now
    return at < 0 ? undefined : pending.splice(at, 1)[0]
  }
  worker.on('message', (message: FromThread) => {
    if (message.kind === 'opened') tellOpened(nowMs() - since.sinceMs, pending, options)
    if (message.kind === 'ready') isReady = true
    else if (message.kind === 'closed') tellClosed(message.key, pending, options)
    else if ('id' in message) answer(settle(message.id), message)
    else begin(message.kind === 'opening')
  })
  worker.on('error', (thrown) => {
    failure = thrown
  })
  worker.once('exit', () => {
    rejectAll(pending, threadEnded(failure))
    onExit(isReady, failure)
  })

  return {
    send(request, transfer) {
      return new Promise((resolve, reject) => {
        const id = nextId++
        if (pending.length === 0) begin()
        worker.postMessage({ ...request, id }, transfer) // throws for what cannot be sent: then nothing is pending
        pending.push({ id, request, resolve, reject })
      })
    },
    get inFlight() {
      return pending.length
    },
    get current() {
      const [head] = pending
      return head && { request: head.request, ...since }
    },
    stop() {
      worker.postMessage({ kind: 'stop' })
      return exited
    },
  }
}

/** A thread keeps nothing of a batch once it has answered: what its process has for young objects would be wasted on it. */
const YOUNG_MB = 8

function startWorker(limits: SessionLimits): Worker {
  const { url, execArgv } = siblingThreadEntry(import.meta.url, 'inference-thread')
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MB }
  return new Worker(url, { execArgv, workerData: limits, name: 'inference', resourceLimits })
}

function rejectAll(pending: Pending[], error: PeltonError): void {
  for (const { reject } of pending.splice(0)) reject(error)
}

function tellOpened(
  openMs: number,
  [head]: Iterable<Pending>,
  { onOpened }: Pick<ThreadHandleOptions, 'onOpened'>,
): void {
  if (head !== undefined && head.request.kind !== 'unload') onOpened?.(head.request.model.key, openMs)
}

function tellClosed(
  closed: string,
  waiting: Iterable<Pending>,
  { onClosed }: Pick<ThreadHandleOptions, 'onClosed'>,
): void {
  for (const { request } of waiting) if (request.kind !== 'unload' && request.model.key === closed) return
  onClosed?.(closed)
}

function answer(settled: Pending | undefined, message: Extract<FromThread, { readonly id: number }>): void {
  if (message.kind === 'failed') settled?.reject(fromErrorMessage(message.error))
  else settled?.resolve({ outputs: message.outputs, runMs: message.runMs })
}

function threadEnded(cause: unknown): PeltonError {
  const reason = cause instanceof Error ? cause.message : 'it ended by itself'
  return new PeltonError(
    'inference-failed',
    `the inference thread ended during the run: ${reason}`,
    {},
    cause,
  )
}
