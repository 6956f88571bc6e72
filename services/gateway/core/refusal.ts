import type { ErrorDetails } from '../../../shared/sdk/errors.ts'
import type { QuotaClass } from './quotas.ts'

/** What a source has left of a limit of its own: nothing, for now. */
export interface SpentLimit {
  readonly policy: string
  /** Undefined where it is another one at every moment. */
  readonly quota: QuotaClass | undefined
  /** When there is some again, milliseconds from now. */
  readonly resetMs: number
}

/** What is said beside status and words when a request is refused. */
export interface RefusalDetails extends ErrorDetails {
  /** A short word for programs: `rate-limited`, `forbidden`. */
  readonly code?: string
  /** When to come back, seconds; where that was computed exactly there is `retryAfterMs`. */
  readonly retryAfterSeconds?: number
  /** Where a limit of its own is why. */
  readonly rateLimit?: SpentLimit | undefined
  /** Headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>
  /** The connection ends with the answer: what else comes on it is not read. */
  readonly closes?: boolean
}

/** What is answered to a request that becomes no event. */
export interface RefusalAnswer {
  readonly status: number
  /** Short, the same for every refusal of its kind. */
  readonly title: string
  readonly message: string
  readonly details: RefusalDetails
}

/**
 * A request that becomes no event, for a reason that HTTP has a status for and the table of errors (`shared/sdk/errors.ts`)
 * has no code. What that table knows is thrown as a PeltonError.
 */
export class Refusal extends Error implements RefusalAnswer {
  override readonly name = 'Refusal'
  readonly status: number
  readonly title: string
  readonly details: RefusalDetails

  constructor(status: number, title: string, detail: string, details: RefusalDetails = {}) {
    super(detail)
    this.status = status
    this.title = title
    this.details = details
  }
}
