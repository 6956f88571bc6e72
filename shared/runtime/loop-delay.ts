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

const RESOLUTION_MS = 20

export function watchLoopDelay(): LoopDelay {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  return {
    get p99() {
      return lateness(delay.percentile(99))
    },
    get max() {
      return lateness(delay.max)
    },
    begin: () => delay.reset(),
    close: () => void delay.disable(),
  }
}

/** The histogram counts whole intervals between its timers, in nanoseconds; empty, its maximum is meaningless. */
function lateness(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1_000)
}
