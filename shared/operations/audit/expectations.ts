import type { LedgerEntry, LedgerOutcome, LedgerRecord } from '../../sdk/contract/ledger.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { GrowingSet } from '../broker/sequence-set.ts'
import { isByOperator } from './accounts.ts'
import type { ExpectedEvent } from './evidence.ts'
import { PlainPredictions } from './plain-predictions.ts'

/** What results and dead letters there should be, according to the ledger. */
export interface Expectations {
  /** Creation time of the FEATURES of today. */
  readonly epoch: string
  /** Creation times of every FEATURES that the ledger tells of. */
  readonly epochs: ReadonlySet<string>
  /** Plain predictions, whose token is not known, by the creation time of their FEATURES. */
  readonly plain: ReadonlyMap<string, PlainPredictions>
  /** Sequences that an operator signed for as removed, by the creation time of their FEATURES: their token is not known. */
  readonly signed: ReadonlyMap<string, GrowingSet>
  readonly events: ReadonlyMap<string, ExpectedEvent>
  enter(record: LedgerRecord, storedAt: number): void
  /** From now on what is entered may be younger than what is read of RESULTS. */
  readResults(): void
}

/** @param epoch creation time of the FEATURES of today */
export function collectExpectations(epoch: string): Expectations {
  const plain = new Map([[epoch, new PlainPredictions()]])
  const epochs = new Set<string>()
  const events = new Map<string, Gathered>()
  const signed = new Map<string, GrowingSet>()
  let isLate = false

  const enterEvent = (entry: Named, record: LedgerRecord, at: number): void => {
    const { token, sequence } = entry
    const known = events.get(token)
    const event = known ?? newEvent(token, record, sequence, at)
    if (known === undefined) events.set(token, event)
    addEntry(event, entry, { isOfRetry: record.stream === STREAMS.retries, at })
  }
  const plainOf = (of: string): PlainPredictions => {
    const known = plain.get(of) ?? new PlainPredictions()
    plain.set(of, known)
    return known
  }

  const sign = (of: string, sequence: number): void => {
    const known = signed.get(of) ?? new GrowingSet()
    signed.set(of, known)
    known.add(sequence)
  }

  return {
    ...{ epoch, epochs, plain, events, signed },
    readResults: () => {
      isLate = true
    },
    enter: (record, storedAt) => {
      // An operator's act names an event of any broker: its dead letter may have been imported.
      const isByWorker = record.entries.some((entry) => !isByOperator(entry.outcome))
      if (record.stream === STREAMS.features && isByWorker) epochs.add(record.epoch)
      for (const entry of record.entries) {
        const { token, sequence, outcome, digest } = entry
        if (token !== undefined) enterEvent({ ...entry, token }, record, storedAt)
        else if (record.stream !== STREAMS.features) continue
        else if (outcome === 'predicted') plainOf(record.epoch).enter(sequence, digest, isLate)
        else if (outcome === 'purged') sign(record.epoch, sequence)
      }
    },
  }
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] }

type Gathered = Omit<Mutable<ExpectedEvent>, 'outcomes' | 'named' | 'letters' | 'retried'> & {
  outcomes: Set<LedgerOutcome>
  named: ExpectedEvent['named'][number][]
  letters: number[]
  retried: number[]
}

type Named = LedgerEntry & { readonly token: string }

function newEvent(token: string, { stream, epoch }: LedgerRecord, sequence: number, since: number): Gathered {
  return {
    ...{ token, stream, epoch, sequence, since },
    outcomes: new Set(),
    ...{ named: [], letters: [], retried: [] },
    ...{ isWithoutDigest: false, isWithoutLetterDigest: false, isOfFeatures: false },
    ended: undefined,
  }
}

function addEntry(
  event: Gathered,
  { outcome, digest, letterDigest }: Named,
  { isOfRetry, at }: { readonly isOfRetry: boolean; readonly at: number },
): void {
  event.outcomes.add(outcome)
  if (!isOfRetry) event.isOfFeatures = true
  if (isByOperator(outcome)) event.ended = { outcome, at }
  else if (outcome === 'retried') {
    if (digest !== undefined) event.retried.push(digest)
  } else {
    if (digest === undefined) event.isWithoutDigest = true
    else event.named.push({ outcome, digest, letter: letterDigest, at, isOfRetry })
    if (letterDigest !== undefined) event.letters.push(letterDigest)
    else if (outcome !== 'predicted') event.isWithoutLetterDigest = true
  }
  if (outcome === 'dead-lettered') event.ended = undefined
}
