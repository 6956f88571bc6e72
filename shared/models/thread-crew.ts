import { messageOf, PeltonError } from '../sdk/errors.ts'
import { OpenModels } from './open-models.ts'
import { startThread, type ThreadHandle } from './thread-handle.ts'
import type { SessionLimits } from './thread-messages.ts'

/** A fixed number of threads, each replaced when it ends by itself, with the models each is known to have open. */
export interface ThreadCrew {
  readonly threads: ReadonlyMap<ThreadHandle, OpenModels>
  /** Whether threads kept ending before they were ready, so that no more are started. */
  readonly failure: PeltonError | undefined
  /** Threads that were forsaken and have not ended: each is inside a run. */
  readonly forsaken: number
  /** Gives up a thread whose run does not end: another takes its place. It is asked to stop, and not waited for. */
  forsake(thread: ThreadHandle): void
  /** Asks all to stop and resolves when they have ended. None is replaced from here on. */
  stop(): Promise<void>
}

export interface ThreadCrewOptions {
  readonly size: number
  readonly limits: SessionLimits
  readonly nowMs: () => number
  /** Told how long opening a model took, milliseconds. */
  readonly onOpened?: (key: string, openMs: number) => void
  /** Called when a thread has ended by itself, after its replacement was started or given up on. */
  readonly onChange: () => void
}

/** Threads that end before they were ready, in a row, until no more are started. */
const MAX_FAILED_STARTS = 3

export function createThreadCrew(options: ThreadCrewOptions): ThreadCrew {
  const { size, limits, nowMs, onOpened, onChange } = options
  const threads = new Map<ThreadHandle, OpenModels>()
  const forsaken = new Set<ThreadHandle>()
  let failedStarts = 0
  let failure: PeltonError | undefined
  let isStopping = false

  function add(): void {
    const open = new OpenModels()
    const thread = startThread({
      limits,
      nowMs,
      ...(onOpened !== undefined && { onOpened }),
      onClosed: (key) => open.closed(key),
      onExit(wasReady, cause) {
        if (forsaken.delete(thread)) return
        threads.delete(thread)
        if (isStopping) return
        failedStarts = wasReady ? 0 : failedStarts + 1
        if (failedStarts < MAX_FAILED_STARTS) add()
        else failure = cannotStart(cause)
        onChange()
      },
    })
    threads.set(thread, open)
  }

  for (let index = 0; index < size; index++) add()
  return {
    threads,
    get failure() {
      return failure
    },
    get forsaken() {
      return forsaken.size
    },
    forsake(thread) {
      if (!threads.delete(thread)) return
      forsaken.add(thread)
      void thread.stop()
      if (!isStopping) add()
    },
    async stop() {
      isStopping = true
      await Promise.all([...threads.keys()].map((thread) => thread.stop()))
    },
  }
}

function cannotStart(cause: unknown): PeltonError {
  const reason = messageOf(cause)
  const remedy = 'Check that onnxruntime-node is installed for this platform.'
  return new PeltonError('internal', `inference threads cannot start: ${reason}`, { remedy }, cause)
}
