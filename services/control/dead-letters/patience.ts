import { setTimeout as sleep } from 'node:timers/promises'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { ApiRefusal } from '../../../shared/sdk/jetstream/api.ts'

/** An election or a restart of the broker is over by then. */
const PATIENCE_MS = 60_000

/**
 * Asks again while the broker does not answer, restarts or elects a leader. Only for what may be done twice.
 *
 * @throws what was thrown last, after a minute, or at once for anything else
 */
export async function patiently<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  const until = performance.now() + PATIENCE_MS
  for (let pauseMs = 50; ; pauseMs = Math.min(1_000, 2 * pauseMs)) {
    try {
      return await ask()
    } catch (thrown) {
      if (!mayPass(thrown) || performance.now() > until) throw thrown
      await sleep(pauseMs)
    }
  }
}

function mayPass(thrown: unknown): boolean {
  if (thrown instanceof ApiRefusal) return thrown.status === 503 || thrown.status === 429
  return (
    thrown instanceof PeltonError && (thrown.code === 'broker-unavailable' || thrown.code === 'stream-full')
  )
}
