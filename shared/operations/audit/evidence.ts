import type { Origin } from '../../sdk/contract/event.ts'
import type { LedgerOutcome } from '../../sdk/contract/ledger.ts'
import type { PlainEntry } from './plain-predictions.ts'

/**
 * What a message of RESULTS is. `unreadable`: no worker of this major version of the contract wrote it, or not there;
 * `newer`: it says that it is of a later one.
 */
export type OutcomeKind = 'prediction' | 'notice' | 'unreadable' | 'newer'

/** A message of RESULTS, as far as it can be judged. Times are milliseconds since 1970. */
export interface StoredOutcome {
  readonly kind: OutcomeKind
  /** In RESULTS. */
  readonly sequence: number
  readonly storedAt: number
  readonly digest: number
  readonly origin: Origin | undefined
  /** When it was made; NaN where it does not say. */
  readonly madeAt: number
  /** How the digests of its event's payload begin: its own, and that of the payload before an operator's edit. */
  readonly inputs: readonly number[]
  /** What its writer wanted to be the last of the register; `undefined` where it wanted nothing. Workers always do. */
  readonly follows: number | undefined
  /** Whether the prediction of its origin lies in another register. */
  readonly isSecond: boolean
}

/** A message of DEADLETTERS. */
export interface StoredLetter {
  /** In DEADLETTERS. */
  readonly sequence: number
  readonly storedAt: number
  readonly digest: number
  readonly origin: Origin | undefined
  /** When its event failed; NaN where it does not say. */
  readonly failedAt: number
  /** Whether it lies under another model than its event was for: nobody finds it there. */
  readonly isElsewhere: boolean
}

/** An outcome that a worker told the ledger of. */
export interface NamedOutcome {
  readonly outcome: LedgerOutcome
  readonly digest: number
  /** Digest of its dead letter, where it has one. */
  readonly letter?: number | undefined
  /** When it was recorded. */
  readonly at: number
  /** Whether it ended a delivery from RETRIES. */
  readonly isOfRetry: boolean
}

/** What the ledger says about one event, where it names its token. */
export interface ExpectedEvent {
  readonly token: string
  /** Where the ledger names it first. */
  readonly stream: string
  /** Creation time of that stream. */
  readonly epoch: string
  readonly sequence: number
  readonly outcomes: ReadonlySet<LedgerOutcome>
  /** When the first of them was recorded, milliseconds since 1970. */
  readonly since: number
  readonly named: readonly NamedOutcome[]
  /** Digests of its dead letters. */
  readonly letters: readonly number[]
  /** How the digests of the payloads begin that were retried. */
  readonly retried: readonly number[]
  /** Whether a worker told of an outcome, or of a dead letter, without its digest: entries of before. */
  readonly isWithoutDigest: boolean
  readonly isWithoutLetterDigest: boolean
  /** Whether the ledger names it in FEATURES, not in RETRIES alone. */
  readonly isOfFeatures: boolean
  /** How an operator ended its dead letter, unless a worker made another since. */
  readonly ended: { readonly outcome: LedgerOutcome; readonly at: number } | undefined
}

/** A replay that has the event in its hands. */
export interface ReplayHold {
  /** Sequence of the dead letter it replays. */
  readonly letter: number
  /** Sequence of the failure notice its outcome may replace. */
  readonly supersedes: number | undefined
}

/** All there is about one event. */
export interface Evidence {
  readonly token: string
  readonly event: ExpectedEvent | undefined
  /** The messages of its register, oldest first. */
  readonly register: readonly StoredOutcome[]
  readonly letters: readonly StoredLetter[]
  /** Whether its event, or a copy of it, waits: its worker may not have told the ledger yet. */
  readonly isWaiting: boolean
  readonly hold: ReplayHold | undefined
}

/** How far what is stored can be judged. Times are milliseconds since 1970. */
export interface Reach {
  /** What was stored before is older than the ledger. */
  readonly ledger: number
  /** What RESULTS and DEADLETTERS stored before may be gone; -Infinity where nothing can be. */
  readonly results: number
  readonly letters: number
  /** Whether the ledger holds every record since its streams were made. */
  readonly isWhole: boolean
  /** Whether the ledger tells of a FEATURES, by its creation time, or it is that of today. */
  readonly knowsEpoch: (epoch: string) => boolean
  /** What the ledger says of plain predictions, whose token it does not name. */
  readonly plain: (origin: Origin) => PlainEntry | undefined
  /** Whether an operator signed for the event as removed. It may have had an outcome that its worker did not tell. */
  readonly isSignedFor: (origin: Origin) => boolean
}
