import type { LedgerEntry, LedgerOutcome, LedgerRecord } from '../../sdk/contract/ledger.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { SequenceSet } from '../broker/sequence-set.ts'
import type { Mark } from '../watch-record/marks.ts'

/** How often each outcome was counted. */
export type OutcomeCounts = Record<LedgerOutcome, number>

/** Counts that begin at none. */
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

/** Whether an operator's act is recorded so, and not how a worker's delivery ended. */
export function isByOperator(outcome: LedgerOutcome): boolean {
  return outcome === 'discarded' || outcome === 'replayed' || outcome === 'purged'
}

/** An event that was retried: its token must wait in RETRIES, or come to an end in the ledger. */
export interface RetriedEvent {
  readonly token: string
  /** Where it was first seen to be retried. */
  readonly stream: string
  readonly sequence: number
  /** Creation time of that stream, where it is not the one of today. */
  readonly epoch?: string
}

/** Entries of streams or creation times that are not those of today. */
export interface ForeignEntries {
  readonly stream: string
  readonly epoch: string
  readonly entries: number
  /** Those among them that say how a worker's delivery ended. */
  readonly byWorkers: number
}

/** What was already settled and what was still open when an earlier audit signed off. */
export interface OpenThen {
  /** Every sequence up to this one is settled, but those in `waiting`. */
  readonly sequence: number
  readonly waiting: readonly (readonly [first: number, last: number])[]
  readonly retries: readonly RetriedEvent[]
}

/** What accounts start from, and how far they go. */
export interface AccountsOptions {
  /** Creation time of each stream that delivers: FEATURES and RETRIES. */
  readonly epochs: ReadonlyMap<string, string>
  /** Last sequence of FEATURES that has to be accounted for. */
  readonly lastSequence: number
  /**
   * Retries entered up to this sequence of the LEDGER are obligations; later ones may not be in RETRIES as it was read.
   */
  readonly obligedUntil: number
  readonly openThen: OpenThen
  /** What FEATURES had given out at earlier times. */
  readonly marks: readonly Mark[]
}

/** The clocks of two servers of a cluster may differ so much. */
const CLOCKS_MS = 60_000

/**
 * The accounts of an audit: every ledger record is entered once, in order; what stays open has no outcome yet.
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
  readonly #foreign = new Map<string, { -readonly [Key in keyof ForeignEntries]: ForeignEntries[Key] }>()
  #records = 0
  #firstRecordAt = Number.POSITIVE_INFINITY
  #highest = 0

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

  /** The highest sequence that workers had settled by `obligedUntil`: FEATURES had given it out by then. */
  get highest(): number {
    return this.#highest
  }

  /** When the oldest record was stored that was entered, milliseconds since 1970; Infinity for none. */
  get firstRecordAt(): number {
    return this.#firstRecordAt
  }

  /**
   * Up to here, sequences may have been settled by records that are older than what was entered. Beyond the first mark
   * that is younger than the oldest record they were accepted later than it, and so were their records stored. When a
   * sequence was settled says nothing: an old event of a slow lane, or of an operator, can be the first in the ledger.
   */
  get horizon(): number {
    let horizon = this.#options.lastSequence
    for (const [at, sequence] of this.#options.marks)
      if (at >= this.#firstRecordAt + CLOCKS_MS && sequence < horizon) horizon = sequence
    return horizon
  }

  /**
   * @param position sequence of the record in the LEDGER
   * @param storedAt milliseconds since 1970
   */
  enter(record: LedgerRecord, position: number, storedAt: number): void {
    this.#records++
    if (storedAt < this.#firstRecordAt) this.#firstRecordAt = storedAt
    const isCurrent = this.#options.epochs.get(record.stream) === record.epoch
    const isThen = position <= this.#options.obligedUntil
    if (!isCurrent) this.#enterForeign(record)
    for (const entry of record.entries) {
      this.#enterToken(entry, record, position, storedAt)
      if (!isCurrent) continue
      if (record.stream === STREAMS.retries) this.retryOutcomes[entry.outcome]++
      if (record.stream !== STREAMS.features) continue
      // Workers name what the broker handed to them; operators what stands in a dead letter.
      if (isThen && entry.sequence > this.#highest && !isByOperator(entry.outcome))
        this.#highest = entry.sequence
      if (this.settled.add(entry.sequence)) this.outcomes[entry.outcome]++
      else if (this.settled.has(entry.sequence)) this.further[entry.outcome]++
    }
  }

  #enterForeign({ stream, epoch, entries }: LedgerRecord): void {
    const key = `${stream} ${epoch}`
    const known = this.#foreign.get(key) ?? { stream, epoch, entries: 0, byWorkers: 0 }
    this.#foreign.set(key, known)
    known.entries += entries.length
    known.byWorkers += entries.filter(({ outcome }) => !isByOperator(outcome)).length
  }

  #enterToken(entry: LedgerEntry, { stream, epoch }: LedgerRecord, position: number, storedAt: number): void {
    const { token, outcome, sequence } = entry
    if (token === undefined || outcome === 'replayed') return
    if (outcome !== 'retried') {
      this.retries.delete(token)
      this.youngRetries.delete(token)
      return
    }
    const { epochs, obligedUntil } = this.#options
    const isCurrent = epochs.get(stream) === epoch
    // Its copy outlasts a FEATURES that is made anew, but not RETRIES.
    const isKept = stream === STREAMS.features && storedAt >= Date.parse(epochs.get(STREAMS.retries) ?? '')
    if (!(isCurrent || isKept) || this.retries.has(token)) return
    const open = position <= obligedUntil ? this.retries : this.youngRetries
    if (!open.has(token)) open.set(token, { token, stream, sequence, ...(!isCurrent && { epoch }) })
  }
}
