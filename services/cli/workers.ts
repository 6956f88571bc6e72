import { eventHeapFlags } from '../../shared/runtime/heap-flags.ts'
import { describeLine } from '../../shared/runtime/log-line.ts'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { Supervisor } from '../../shared/runtime/supervisor.ts'

export interface FleetOptions {
  readonly count: number
  /** Folder of models. */
  readonly models: string
  readonly env: NodeJS.ProcessEnv
  /** Told what people should know: restarts, warnings and errors of workers. */
  readonly note: (text: string) => void
  /** Told when a worker takes events, also after a restart. */
  readonly onReady?: (index: number) => void
  /** Told when no worker can use its settings. */
  readonly onGivenUp?: () => void
}

/** Keeps worker processes running until stopped. They meet control only on the wire. */
export function superviseWorkers(options: FleetOptions): Supervisor {
  const { count, models, env, note, onReady, onGivenUp } = options
  const { url, execArgv } = siblingEntry(import.meta.url, '../worker/main')
  return new Supervisor({
    entry: { url, execArgv: [...eventHeapFlags(env), ...execArgv] },
    count,
    env: (index) => ({
      ...env,
      PELTON_MODELS: models,
      PELTON_WORKER: workerName(env.PELTON_WORKER, index, count),
      ...portOf(env, index),
    }),
    onLine: (line, index) => reportLine(line, `worker ${index + 1}`, note),
    note,
    ...(onReady !== undefined && {
      onState: (state: string, index: number) => {
        if (state === 'ready') onReady(index)
      },
    }),
    ...(onGivenUp !== undefined && { onGivenUp }),
  })
}

/** Two workers of one name could not be told apart in ledger and headers. */
function workerName(given: string | undefined, index: number, count: number): string {
  if (given === undefined) return `worker-${process.pid}-${index + 1}`
  return count === 1 ? given : `${given}-${index + 1}`
}

/** Each worker has a port of its own, counted from the first. */
function portOf({ PELTON_HTTP_PORT: first }: NodeJS.ProcessEnv, index: number): NodeJS.ProcessEnv {
  return Number(first) > 0 ? { PELTON_HTTP_PORT: String(Number(first) + index) } : {}
}

/**
 * Log lines from `warn` on are shown; what is no log line (a crash) is shown as it is.
 *
 * @param who name of the process that wrote it
 */
export function reportLine(line: string, who: string, note: (text: string) => void): void {
  const text = describeLine(line)
  if (text !== undefined) note(`${who}: ${text}`)
}
