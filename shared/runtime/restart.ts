/** How a supervised process ended. */
export interface ProcessEnd {
  /** The signal that ended it; null where it exited. */
  readonly signal: NodeJS.Signals | null
  readonly livedMs: number
  /** Whether it had said that it takes work. */
  readonly wasReady: boolean
  /** Whether it said, or logged as `fatal`, that it ends: then a signal is its own. */
  readonly saidSo: boolean
}

/** What follows from it. */
export interface Restart {
  /** Whether somebody else ended it. */
  readonly fromOutside: boolean
  /** Ends of its own in a row, this one included where it is one. */
  readonly crashes: number
  readonly delayMs: number
}

const FIRST_BACKOFF_MS = 200
const MAX_BACKOFF_MS = 10_000
/** A process that lived this long is taken as healthy again, milliseconds. */
export const HEALTHY_MS = 30_000

/** What a person, a platform or the kernel ends a process with; others (SIGSEGV, SIGABRT) it causes itself. */
const SENT_BY_OTHERS: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'])

/**
 * When to start a process again. Its own ends back off exponentially. One that worked and was ended from outside had no
 * part in it: it is started at once, however often that happens, and counts neither as a crash nor as health. One that was
 * killed before it was ready (out of memory while it loaded, say) backs off. Pure.
 *
 * @param crashes ends of its own in a row before this one
 */
export function decideRestart(crashes: number, end: ProcessEnd): Restart {
  const { signal, livedMs, wasReady, saidSo } = end
  if (signal !== null && SENT_BY_OTHERS.has(signal) && wasReady && !saidSo)
    return { fromOutside: true, crashes, delayMs: FIRST_BACKOFF_MS }
  const now = livedMs > HEALTHY_MS ? 1 : crashes + 1
  const delayMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (now - 1))
  return { fromOutside: false, crashes: now, delayMs }
}
