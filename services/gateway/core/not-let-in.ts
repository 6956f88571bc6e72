import { type Refused, refusalCode, refusalDetails } from '../../../shared/sdk/admission/refused.ts'
import { ERRORS } from '../../../shared/sdk/errors.ts'
import type { QuotaClass } from './quotas.ts'
import { Refusal, type RefusalAnswer } from './refusal.ts'

/** Limits that are one source's alone: their refusals say what it has left of them. */
const OF_SOURCE: ReadonlySet<string> = new Set(['quota', 'share'])

/** A request that is not let in, to be thrown. @param quota of its caller, where that is the limit */
export function notLetIn(refused: Refused, quota?: QuotaClass): Refusal {
  return withoutStack(answerNotLetIn(refused, quota))
}

/**
 * A request that is not let in, as it is answered: the same for every limit, of this gateway or of the pool. When to come back is
 * up to twice as late as it could be, so that those who were refused together do not come back together.
 *
 * @param quota of its caller, where that is the limit
 */
export function answerNotLetIn(refused: Refused, quota?: QuotaClass): RefusalAnswer {
  const code = refusalCode(refused)
  const { limit, retryAfterMs: soonestMs, because } = refused
  const { field, value, remedy, retryAfterMs } = refusalDetails(refused, soonestMs * (1 + Math.random()))
  const { status, summary: title } = ERRORS[code]
  const rateLimit = OF_SOURCE.has(limit) ? { policy: limit, quota, resetMs: soonestMs } : undefined
  return { status, title, message: because, details: { code, field, value, remedy, retryAfterMs, rateLimit } }
}

/** Nobody looks where a refusal was made, of which there are most when there is least time. */
function withoutStack({ status, title, message, details }: RefusalAnswer): Refusal {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return new Refusal(status, title, message, details)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
