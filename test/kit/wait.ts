import { setTimeout as sleep } from 'node:timers/promises'

/** For `vi.waitFor`, as patient as a busy machine needs: it repeats assertions, and fails with the last of them. */
export const PATIENT = { timeout: 480_000, interval: 100 }

export interface WaitOptions {
  /** How long to wait at most, milliseconds: far beyond what a busy machine needs. @default 480_000 */
  readonly limitMs?: number
  /** Between two looks, milliseconds. Default: 25 at first; what takes long is looked for more seldom, four times a second at least. */
  readonly everyMs?: number
  /** What is there instead, for the error. */
  readonly seen?: () => unknown
}

/** The pause between two looks grows to this part of what was waited, so that waiting takes nothing from what is waited for. */
const PAUSE_SHARE = 0.05
/** Milliseconds. */
const [SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS] = [25, 250]

/**
 * Looks until something is there, and returns it. What never comes is an error that names it, and what was seen instead:
 * `await eventually('the worker to listen', () => worker.log.find(({ msg }) => msg === 'listening'))`.
 *
 * @param what completes "waited in vain for …"
 * @param look gives what is waited for; `undefined` or `false` where it is not there yet
 */
export async function eventually<Found>(
  what: string,
  look: () => Found | undefined | false | Promise<Found | undefined | false>,
  { limitMs = PATIENT.timeout, everyMs, seen }: WaitOptions = {},
): Promise<Found> {
  const began = performance.now()
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    const waitedMs = performance.now() - began
    if (waitedMs > limitMs) throw new Error(await inVain(what, limitMs, seen))
    await sleep(everyMs ?? Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, PAUSE_SHARE * waitedMs)))
  }
}

async function inVain(what: string, limitMs: number, seen: WaitOptions['seen']): Promise<string> {
  const there = seen === undefined ? '' : `; seen instead: ${text(await seen())}`
  return `waited in vain for ${what}, ${limitMs / 1_000} s${there}`
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
