import type { Random } from '../engine/chance.ts'
import type { Clients } from '../load/shapes.ts'

/** What came of a try: refused, with when to come back where that was said; or no prediction by its deadline. */
export type Failure = { readonly kind: 'refused'; readonly retryAfterMs: number } | { readonly kind: 'late' }

/** A client gives up after so many tries. */
const MOST_ATTEMPTS = 10
/** Who storms tries again within this time, whatever was said, milliseconds. */
const STORM_MS = 50
/** Who obeys, and was told nothing, waits twice as long from try to try, milliseconds. */
const BACKOFF_MS = 250

/** How long a client waits before it sends again, milliseconds; undefined where it does not. */
export function retryMs(
  clients: Clients,
  attempt: number,
  failure: Failure,
  random: Random,
): number | undefined {
  if (clients === 'leave' || attempt >= MOST_ATTEMPTS) return undefined
  if (clients === 'storm') return STORM_MS * random()
  const toldMs = failure.kind === 'refused' ? failure.retryAfterMs : BACKOFF_MS * 2 ** (attempt - 1)
  // Who is told the same does not come back at the same moment.
  return toldMs * (1 + random())
}
