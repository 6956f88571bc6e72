import type { Lane } from '../../../shared/sdk/contract/subjects.ts'

/** One event of one row, sent once: a client that tries again sends another. */
export interface SimEvent {
  readonly lane: Lane
  /** Digest of its source. */
  readonly source: string
  /** When it was to be sent, milliseconds. */
  readonly sentAtMs: number
  /** Its deadline, by the same clock. */
  readonly endsAtMs: number
  /** 1 for the first try of a client. */
  readonly attempt: number
  /** Whether its client has its answer, or will have none. */
  isAnswered: boolean
}
