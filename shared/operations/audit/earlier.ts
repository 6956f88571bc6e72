import type { LedgerRecord } from '../../sdk/contract/ledger.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { type SequenceRange, SequenceSet, toRanges } from '../broker/sequence-set.ts'
import type { Floor } from './floor.ts'

/** Sequences of a FEATURES that was deleted and made anew. */
export interface EarlierSequences {
  /** Its creation time. */
  readonly epoch: string
  readonly sequences: readonly SequenceRange[]
}

/** What a floor of an earlier FEATURES knew to be waiting, until a record of the ledger ends it. */
export class EarlierFeatures {
  readonly #epoch: string
  readonly #waiting: SequenceSet

  constructor({ epoch, waiting }: Floor) {
    this.#epoch = epoch
    this.#waiting = new SequenceSet(waiting[0]?.[0] ?? 1, waiting.at(-1)?.[1] ?? 0)
    for (const range of waiting) this.#waiting.addRange(range)
  }

  enter({ stream, epoch, entries }: LedgerRecord): void {
    if (stream !== STREAMS.features || epoch !== this.#epoch) return
    for (const { sequence } of entries) this.#waiting.delete(sequence)
  }

  /** What no record ends: with its stream, it is gone. */
  get open(): EarlierSequences {
    return { epoch: this.#epoch, sequences: toRanges(this.#waiting.present()) }
  }
}
