import type { LedgerEntry, LedgerOutcome, LedgerRecord } from '../../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { SequenceSet } from './sequence-set.ts'

/** How often each outcome was counted. */
export type OutcomeCounts = Record<LedgerOutcome, number>

export function noOutcomes(): OutcomeCounts {
  return {
    predicted: 0,
    'already-answered': 0,
    'dead-lettered': 0,
    retried: 0,
    discarded: 0,
    replayed: 0,
    purged: 0,
  }
}

/** An event that was retried: its token must wait in RETRIES, or come to an end in the ledger. */
export interface RetriedEvent {
  readonly token: string
  /** Where it was first seen to be retried. */
  readonly stream: string
  readonly sequence: number
}

/** Entries of streams or creation times that are not those of today. */
export interface ForeignEntries {
  readonly stream: string
  readonly epoch: string
  readonly entries: number
}

/** What was already settled and what was still open when an earlier audit signed off. */
export interface OpenThen {
  /** Every sequence up to this one is settled, but those in `waiting`. */
  readonly sequence: number
  readonly waiting: readonly (readonly [first: number, last: number])[]
  readonly retries: readonly RetriedEvent[]
}

export interface AccountsOptions {
  /** Creation time of each stream that delivers: FEATURES and RETRIES. */
  readonly epochs: ReadonlyMap<string, string>
  /** Last sequence of FEATURES that has to be accounted for. */
  readonly lastSequence: number
  /** Retries entered up to this sequence of the LEDGER are obligations; later ones may not be in RETRIES as it was read. */
  readonly obligedUntil: number
  readonly openThen: OpenThen
}

/** Sequences settled in the first hour of what is left of a ledger may have neighbours whose records expired. */
const HORIZON_MS = 3_600_000

/**
 * The books of an audit: every ledger record is entered once, in order; what stays open has no outcome yet.
 * Pure: it reads nothing.
 */
export class Accounts {
  /** Sequences of FEATURES with at least one record. */
  readonly settled: SequenceSet
  /** The first outcome of each sequence of FEATURES. */
  readonly outcomes = noOutcomes()
  /** What was entered for a sequence after its first outcome: a lost acknowledgement, an operator's act. */
  readonly further = noOutcomes()
  /** How deliveries from RETRIES ended. */
  readonly retryOutcomes = noOutcomes()
  /** Retried events without an end, obligations of this audit. */
  readonly retries = new Map<string, RetriedEvent>()
  /** Retried events without an end, too young to be obligations of this audit. */
  readonly youngRetries = new Map<string, RetriedEvent>()
  readonly #options: AccountsOptions
  readonly #foreign = new Map<string, { stream: string; epoch: string; entries: number }>()
  #records = 0
  #firstRecordAt = Number.POSITIVE_INFINITY
  #horizon = 0

  constructor(options: AccountsOptions) {
    this.#options = options
    const { sequence, waiting, retries } = options.openThen
    const first = Math.min(waiting[0]?.[0] ?? sequence + 1, sequence + 1)
    this.settled = new SequenceSet(first, options.lastSequence)
    this.settled.addRange([first, sequence])
    for (const [from, to] of waiting) for (let open = from; open <= to; open++) this.settled.delete(open)
    for (const event of retries) this.retries.set(event.token, event)
  }

  get records(): number {
    return this.#records
  }

  get foreign(): readonly ForeignEntries[] {
    return [...this.#foreign.values()]
  }

  /** Up to here, sequences may have been settled by records that are older than what was entered. */
  get horizon(): number {
    return this.#records === 0 ? this.#options.lastSequence : this.#horizon
  }

  /**
   * @param position sequence of the record in the LEDGER
   * @param storedAt milliseconds since 1970
   */
  enter(record: LedgerRecord, position: number, storedAt: number): void {
    this.#records++
    if (storedAt < this.#firstRecordAt) this.#firstRecordAt = storedAt
    const isCurrent = this.#options.epochs.get(record.stream) === record.epoch
    const isEarly = storedAt <= this.#firstRecordAt + HORIZON_MS
    if (!isCurrent) this.#enterForeign(record)
    for (const entry of record.entries) {
      this.#enterToken(entry, record.stream, isCurrent, position)
      if (!isCurrent) continue
      if (record.stream === STREAMS.retries) this.retryOutcomes[entry.outcome]++
      if (record.stream !== STREAMS.features) continue
      if (isEarly && entry.sequence > this.#horizon) this.#horizon = entry.sequence
      if (this.settled.add(entry.sequence)) this.outcomes[entry.outcome]++
      else if (this.settled.has(entry.sequence)) this.further[entry.outcome]++
    }
  }

  #enterForeign({ stream, epoch, entries }: LedgerRecord): void {
    const key = `${stream} ${epoch}`
    const known = this.#foreign.get(key)
    if (known === undefined) this.#foreign.set(key, { stream, epoch, entries: entries.length })
    else known.entries += entries.length
  }

  #enterToken(entry: LedgerEntry, stream: string, isCurrent: boolean, position: number): void {
    const { token, outcome, sequence } = entry
    if (token === undefined || outcome === 'replayed') return
    if (outcome !== 'retried') {
      this.retries.delete(token)
      this.youngRetries.delete(token)
      return
    }
    if (!isCurrent || this.retries.has(token)) return
    const open = position <= this.#options.obligedUntil ? this.retries : this.youngRetries
    if (!open.has(token)) open.set(token, { token, stream, sequence })
  }
}
