import { isReason, REASONS } from '../../../shared/sdk/errors.ts'
import type { StoredResult } from '../../../shared/sdk/result.ts'

/**
 * Whether an answer is none that an idempotency key holds on to: a failure whose cause can pass. What a newer worker
 * gives as a reason is not known here, and may be such a one.
 */
export function mayBeTriedAgain(result: StoredResult): boolean {
  if (result.kind === 'prediction') return false
  const { reason } = result
  if (!isReason(reason)) return true
  return reason === 'shed' || reason === 'deadline-exceeded' || REASONS[reason].status >= 500
}
