import { monitorEventLoopDelay } from 'node:perf_hooks'

/** How late the timers of this process's loop ran, since it was begun anew; seconds. */
export interface LoopDelay {
  readonly p99: number
  readonly max: number
  /** Begins the next window. */
  begin(): void
  /** Stops looking. */
  close(): void
}

/** @param resolutionMs how often it looks; a loop that stands still is told of as that much shorter at most */
export function watchLoopDelay(resolutionMs = 20): LoopDelay {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs })
  delay.enable()
  return {
    get p99() {
      return lateness(delay.percentile(99), resolutionMs)
    },
    get max() {
      return lateness(delay.max, resolutionMs)
    },
    begin: () => delay.reset(),
    close: () => void delay.disable(),
  }
}

/** The histogram counts whole intervals between its timers, in nanoseconds; empty, its maximum is meaningless. */
function lateness(nanoseconds: number, resolutionMs: number): number {
  return Math.max(0, nanoseconds / 1e9 - resolutionMs / 1_000)
}
