import type { ErrorDetails } from '../../../shared/sdk/errors.ts'

/** What is said beside status and words when a request is refused. */
export interface RefusalDetails extends ErrorDetails {
  /** A short word for programs: `rate-limited`, `forbidden`. */
  readonly code?: string
  /** When to come back, seconds. */
  readonly retryAfterSeconds?: number
  /** Headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>
  /** The connection ends with the answer: what else comes on it is not read. */
  readonly closes?: boolean
}

/**
 * A request that becomes no event, for a reason that HTTP has a status for and the table of errors (`shared/sdk/errors.ts`)
 * has no code. What that table knows is thrown as a PeltonError.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: number
  /** Short, the same for every refusal of its kind. */
  readonly title: string
  readonly details: RefusalDetails

  constructor(status: number, title: string, detail: string, details: RefusalDetails = {}) {
    super(detail)
    this.status = status
    this.title = title
    this.details = details
  }
}
