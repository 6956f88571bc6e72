import type { LedgerEntry, LedgerOutcome, LedgerRecord } from '../../sdk/contract/ledger.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { SequenceSet } from '../broker/sequence-set.ts'
import { isByOperator } from './accounts.ts'

/** What the ledger says about one event, where it names its token. */
export interface ExpectedEvent {
  readonly token: string
  readonly stream: string
  /** Creation time of that stream. */
  readonly epoch: string
  readonly sequence: number
  readonly outcomes: ReadonlySet<LedgerOutcome>
  /** When the first of them was recorded, milliseconds since 1970. */
  readonly since: number
  /** Whether an operator took its dead letter away and no worker made another since. */
  readonly isDeadLetterGone: boolean
}

/** What results and dead letters there should be, according to the ledger. */
export interface Expectations {
  /** Creation time of FEATURES. */
  readonly epoch: string
  /** Sequences of FEATURES with a plain prediction: their token is not known. */
  readonly plain: SequenceSet
  readonly events: ReadonlyMap<string, ExpectedEvent>
  enter(record: LedgerRecord, storedAt: number): void
}

/** @param bounds whose first and last sequence bound what is expected */
export function collectExpectations(
  bounds: { readonly first: number; readonly last: number },
  epoch: string,
): Expectations {
  const plain = new SequenceSet(bounds.first, bounds.last)
  const events = new Map<string, Mutable<ExpectedEvent> & { outcomes: Set<LedgerOutcome> }>()

  const enterEvent = (
    { token, outcome, sequence }: LedgerEntry & { token: string },
    { stream, epoch: ofStream }: LedgerRecord,
    since: number,
  ): void => {
    const event = events.get(token) ?? {
      ...{ token, stream, epoch: ofStream, sequence, since },
      outcomes: new Set<LedgerOutcome>(),
      isDeadLetterGone: false,
    }
    event.outcomes.add(outcome)
    if (outcome === 'dead-lettered') event.isDeadLetterGone = false
    if (isByOperator(outcome)) event.isDeadLetterGone = true
    events.set(token, event)
  }

  return {
    epoch,
    plain,
    events,
    enter: (record, storedAt) => {
      for (const entry of record.entries) {
        const { token, sequence, outcome } = entry
        if (token !== undefined) enterEvent({ ...entry, token }, record, storedAt)
        else if (outcome === 'predicted' && record.stream === STREAMS.features && record.epoch === epoch)
          plain.add(sequence)
      }
    },
  }
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] }
