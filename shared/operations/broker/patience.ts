import { setTimeout as sleep } from 'node:timers/promises'
import { errors } from '@nats-io/transport-node'
import { PeltonError } from '../../sdk/errors.ts'
import { ApiRefusal, NOT_FOUND } from '../../sdk/jetstream/api.ts'

/** An election or a restart of the broker is over by then. */
const PATIENCE_MS = 60_000

/** How long something that fails is tried again. */
export interface Patience {
  /** Whether this may pass, and there is time left. */
  bears(thrown: unknown): boolean
  /** Milliseconds until the next try: longer each time. */
  pauseMs(): number
}

/** @param forMs @default 60_000 */
export function createPatience(forMs = PATIENCE_MS): Patience {
  const until = performance.now() + forMs
  let pauseMs = 25
  return {
    bears: (thrown) => mayPass(thrown) && performance.now() <= until,
    pauseMs: () => {
      pauseMs = Math.min(1_000, 2 * pauseMs)
      return pauseMs
    },
  }
}

/**
 * Asks again while the broker does not answer, restarts or elects a leader. Only for what may be done twice.
 *
 * @param forMs @default 60_000
 * @throws what was thrown last, once the time is over, or at once for anything else
 */
export async function patiently<Answer>(ask: () => Promise<Answer>, forMs?: number): Promise<Answer> {
  for (const patience = createPatience(forMs); ; ) {
    try {
      return await ask()
    } catch (thrown) {
      if (!patience.bears(thrown)) throw thrown
      await sleep(patience.pauseMs())
    }
  }
}

function mayPass(thrown: unknown): boolean {
  // A temporary consumer is gone with the broker that held it: its reader makes another.
  if (thrown instanceof ApiRefusal)
    return thrown.status === 503 || thrown.status === 429 || thrown.code === NOT_FOUND.consumer
  if (!(thrown instanceof PeltonError)) return false
  if (thrown.cause instanceof errors.ClosedConnectionError) return false // we closed it: no caller waits any more
  return thrown.code === 'broker-unavailable' || thrown.code === 'stream-full'
}
