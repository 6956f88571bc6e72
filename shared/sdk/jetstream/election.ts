import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'

/** How whoever starts waits for a broker that elects a leader. */
export interface Waiting {
  /** How long at most, milliseconds. @default 60_000 */
  readonly patienceMs?: number
  /** Told once what is waited for, in the broker's words. */
  readonly onWait?: (reason: string) => void
  /** Ends the wait at once: its reason is thrown. */
  readonly signal?: AbortSignal | undefined
}

/** Elections took up to 44 s where nodes were cut off one way. */
const PATIENCE_MS = 60_000
const PAUSE_MS = 250

/**
 * Repeats an act until it does not fail with what time may change. Only for what may be done twice.
 *
 * @param waiting.passes whether a failure may pass
 * @throws what `act` threw last, once patience is over, or at once for what does not pass; the reason of `signal`
 */
export async function untilItPasses<Result>(
  act: () => Promise<Result>,
  waiting: Waiting & { readonly passes: (thrown: unknown) => boolean },
): Promise<Result> {
  const { patienceMs = PATIENCE_MS, onWait, signal, passes } = waiting
  const until = performance.now() + patienceMs
  for (let tries = 1; ; tries++) {
    try {
      return await orAborted(act(), signal)
    } catch (thrown) {
      signal?.throwIfAborted()
      if (!passes(thrown) || performance.now() > until) throw thrown
      if (tries === 1) onWait?.(messageOf(thrown))
      await orAborted(sleep(PAUSE_MS), signal)
    }
  }
}

/** Waits for a promise no longer than until a signal is aborted, whose reason it then throws. */
export async function orAborted<Result>(
  awaited: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return awaited
  const over = new AbortController()
  const aborted = new Promise<never>((_resolve, reject) => {
    const end = (): void => reject(signal.reason)
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true, signal: over.signal })
  })
  try {
    return await Promise.race([awaited, aborted])
  } finally {
    over.abort()
  }
}
