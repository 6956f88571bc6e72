import { DEFAULT_RETRIES, type RetryPolicy } from '../../../shared/models/manifest-schema.ts'
import {
  type Failure,
  failureOf,
  type PredictionFacts,
  type Stage,
} from '../../../shared/sdk/contract/outcome.ts'
import { isReason, type PeltonError, REASONS } from '../../../shared/sdk/errors.ts'
import type { Delivery } from '../intake/delivery.ts'

/** What is to become of a delivery. */
export type Outcome =
  | { readonly kind: 'predicted'; readonly facts: PredictionFacts; readonly body: Uint8Array }
  | {
      readonly kind: 'dead-lettered'
      readonly failure: Failure
      readonly modelVersion?: string
      /** Why it was given up early; unset for what was not. */
      readonly shed?: ShedCause
    }
  /** Another attempt at `dueAt` (broker time, milliseconds), as a scheduled copy. */
  | {
      readonly kind: 'retried'
      readonly failure: Failure
      readonly dueAt: number
      readonly modelVersion?: string
    }
  /** Nothing it can help: its model is not servable here, and the event waits for it. */
  | { readonly kind: 'not-servable'; readonly why: NotServable }

/**
 * Why an event was given up that could still have been started: its prediction would have come too late, or its lane has
 * stood for too long.
 */
export type ShedCause = 'predicted' | 'codel'

/** How an event ended because of its deadline, `expired` where it had passed: a closed set, a label of metrics. */
export type ShedKind = ShedCause | 'expired'

/** Why a worker cannot serve a model now: a closed set, a label of metrics. */
export type NotServableCause =
  /** Not looked at yet. */
  | 'inspecting'
  /** Looked at, and refused. */
  | 'refused'
  /** It was served; its file is gone, changed or unreadable, or it cannot be loaded. */
  | 'unavailable'
  /** Not in this folder; other workers have served it. */
  | 'missing'
  /** Its runs do not end, again and again. */
  | 'operator'
  /** It runs apart, and more of its events wait than it can run for now. */
  | 'apart'
  /** It fails on everything: its circuit breaker is open. */
  | 'breaker'

/** That a model the pool knows is not servable here, and why. */
export interface NotServable {
  readonly cause: NotServableCause
  /** For people: what is wrong, in a sentence. */
  readonly text: string
  /** When it is worth a look of a few of its events, broker time, milliseconds since 1970, where that is known. */
  readonly probeAt?: number
}

/** A delivery and what is to become of it. */
export interface Concluded {
  readonly delivery: Delivery
  readonly outcome: Outcome
}

/** A delivery that has a prediction. */
export interface Predicted extends Concluded {
  readonly outcome: Extract<Outcome, { readonly kind: 'predicted' }>
}

/** A delivery that is given up. */
export interface GivenUp extends Concluded {
  readonly outcome: Extract<Outcome, { readonly kind: 'dead-lettered' }>
}

/** A delivery that has ended as its event can: its outcome is one that claims the register. */
export type Plain = Predicted | GivenUp

export function isPredicted(plain: Plain): plain is Predicted {
  return plain.outcome.kind === 'predicted'
}

/** What the headers of a dead letter, and the notice before it, are about as much work as, bytes. */
const LETTER_WORK = 2_048

/** What sending an outcome costs the loop, in bytes: the client copies the answer, or the event. */
export function sendingWork({ delivery, outcome }: Concluded): number {
  if (outcome.kind === 'predicted') return outcome.body.length
  return delivery.event.body.length + (outcome.kind === 'dead-lettered' ? LETTER_WORK : 0)
}

/** What an event's history says about trying it again. */
export interface AttemptFacts {
  readonly attempt: number
  /** Deadline by broker time, milliseconds. */
  readonly expiresAt: number | undefined
  readonly now: number
}

/**
 * Retry or give up. A failure of a kind that can pass is tried again with exponential backoff and full jitter
 * (AWS Architecture Blog, "Exponential Backoff And Jitter"), unless its attempts are used up or its deadline would pass.
 *
 * @param random a number in [0, 1)
 */
export function decideFailure(
  error: PeltonError,
  stage: Stage,
  facts: AttemptFacts,
  policy: RetryPolicy = DEFAULT_RETRIES,
  random: () => number = Math.random,
): Extract<Outcome, { failure: Failure }> {
  const reason = isReason(error.code) ? error.code : 'inference-failed'
  const failure = failureOf(error, reason, stage)
  if (!REASONS[reason].retryable || facts.attempt >= policy.maxAttempts)
    return { kind: 'dead-lettered', failure }
  const ceiling = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (facts.attempt - 1))
  const dueAt = facts.now + Math.max(50, random() * ceiling)
  if (facts.expiresAt !== undefined && dueAt >= facts.expiresAt) return { kind: 'dead-lettered', failure }
  return { kind: 'retried', failure, dueAt }
}
