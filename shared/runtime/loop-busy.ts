import { performance } from 'node:perf_hooks'

/** Shorter windows say more of the last turn of the loop than of how busy it is, milliseconds. */
const WINDOW_MS = 50

/**
 * Which part of its time the loop of this process was busy lately, from 0 to 1. Looked at as often as wanted: it is
 * measured anew once 50 ms have gone by.
 */
export class LoopBusy {
  #since = performance.eventLoopUtilization()
  #sinceMs = performance.now()
  #share = 0

  share(nowMs = performance.now()): number {
    if (nowMs - this.#sinceMs >= WINDOW_MS) {
      const now = performance.eventLoopUtilization()
      this.#share = performance.eventLoopUtilization(now, this.#since).utilization
      this.#since = now
      this.#sinceMs = nowMs
    }
    return this.#share
  }
}
