import { showDuration } from '../../../shared/runtime/quantities.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { Delivery } from '../intake/delivery.ts'
import { decideFailure } from '../settle/outcome.ts'
import type { Batch, Passed } from './prepared.ts'

/**
 * Why an event may not be started any more.
 *
 * @param now broker time, milliseconds since 1970
 * @returns `deadline-exceeded` once its deadline has passed; undefined before, and where it has none
 */
export function lateness({ event }: Delivery, now: number): PeltonError | undefined {
  if (event.expiresAt === undefined || event.expiresAt > now) return undefined
  return new PeltonError(
    'deadline-exceeded',
    `it was not started: its deadline passed ${showDuration(now - event.expiresAt)} before its turn`,
    {
      field: 'ce-expirytime',
      value: new Date(event.expiresAt).toISOString(),
    },
  )
}

/**
 * The last look before a run: an event whose deadline passed while it waited for its batch ends as if it had come too
 * late, and its neighbours go on.
 *
 * @param now broker time, milliseconds since 1970
 */
export function concludeLate(batch: Batch, now: number): Passed {
  return batch.map((prepared) => {
    const { delivery } = prepared
    const error = lateness(delivery, now)
    if (error === undefined) return prepared
    return { delivery, outcome: decideFailure(error, 'batch', { ...delivery.event, now }) }
  })
}
