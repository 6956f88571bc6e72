import { showDuration } from '../../../shared/runtime/quantities.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { plainFailure, type Stage } from '../../../shared/sdk/contract/outcome.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { GivenUp } from '../settle/outcome.ts'
import type { Batch, Passed } from './prepared.ts'

/**
 * The end of an event that may not be started any more: `deadline-exceeded`. For that its headers have been read, and nothing
 * else of it.
 *
 * @param now broker time, milliseconds since 1970
 * @returns undefined before its deadline, and where it has none
 */
export function expired(delivery: Delivery, stage: Stage, now: number): GivenUp | undefined {
  const { expiresAt } = delivery.event
  if (expiresAt === undefined || expiresAt > now) return undefined
  const failure = plainFailure({
    reason: 'deadline-exceeded',
    stage,
    description: `it was not started: its deadline passed ${showDuration(now - expiresAt)} before its turn`,
    details: { field: HEADERS.expiryTime, value: new Date(expiresAt).toISOString() },
  })
  return { delivery, outcome: { kind: 'dead-lettered', failure } }
}

/**
 * The last look before a run: an event whose deadline passed while it waited for its batch ends as if it had come too
 * late, and its neighbours go on.
 *
 * @param now broker time, milliseconds since 1970
 */
export function concludeLate(batch: Batch, now: number): Passed {
  return batch.map((prepared) => expired(prepared.delivery, 'batch', now) ?? prepared)
}
