import type { LedgerRecord } from '../../sdk/contract/ledger.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { GrowingSet, type SequenceRange } from '../broker/sequence-set.ts'
import { isByOperator } from './accounts.ts'
import type { Floor } from './floor.ts'

/** Sequences of a FEATURES that was deleted and made anew. */
export interface EarlierSequences {
  /** Its creation time. */
  readonly epoch: string
  readonly sequences: readonly SequenceRange[]
}

/** What is known of a FEATURES that is gone, before the ledger is read. */
export interface EarlierKnown {
  /** A floor of it: what waited then, and that all else up to it is settled. */
  readonly floor: Floor | undefined
  /** How far each was seen to come, by the watch and by durable marks. */
  readonly seen: readonly { readonly epoch: string; readonly sequence: number }[]
}

interface Gone {
  /** What waited at the floor. */
  waiting: readonly SequenceRange[]
  /** The first sequence beyond the floor. */
  from: number
  /** Sequences with an outcome, by the ledger. */
  readonly settled: GrowingSet
  /** The highest that it is known to have given out. */
  highest: number
}

/**
 * What a FEATURES that is gone had given out without an outcome: by a floor, by the marks of the watch, and by the
 * ledger itself, where a sequence beyond it has one.
 */
export class EarlierFeatures {
  readonly #gone = new Map<string, Gone>()
  readonly #epoch: string
  readonly #isWhole: boolean
  readonly #floorEpoch: string | undefined

  /**
   * @param epoch creation time of the FEATURES of today
   * @param isWhole whether every record of the ledger since the floor, or since its beginning, is there to be read
   */
  constructor(epoch: string, { floor, seen }: EarlierKnown, isWhole: boolean) {
    this.#epoch = epoch
    this.#isWhole = isWhole
    this.#floorEpoch = floor?.epoch
    if (floor !== undefined) {
      const gone = this.#goneOf(floor.epoch, floor.sequence)
      gone.waiting = floor.waiting
      gone.from = floor.sequence + 1
    }
    for (const of of seen) if (of.epoch !== epoch) this.#goneOf(of.epoch, of.sequence)
  }

  enter({ stream, epoch, entries }: LedgerRecord): void {
    if (stream !== STREAMS.features || epoch === this.#epoch) return
    for (const { sequence, outcome } of entries) {
      const gone = this.#goneOf(epoch, 0)
      const isGivenOut = !isByOperator(outcome) && sequence - gone.highest < MAX_STEP
      if (isGivenOut && sequence > gone.highest) gone.highest = sequence
      gone.settled.add(sequence)
    }
  }

  /** What no record ends: with its stream, it is gone. Of several, the floor's, else the latest. */
  get open(): EarlierSequences | undefined {
    if (!this.#isWhole) return undefined
    const lost = [...this.#gone].flatMap(([epoch, gone]) => {
      const sequences = absentIn(gone)
      return sequences.length === 0 ? [] : [{ epoch, sequences }]
    })
    const latest = lost.sort((a, b) => Date.parse(b.epoch) - Date.parse(a.epoch))
    return lost.find(({ epoch }) => epoch === this.#floorEpoch) ?? latest[0]
  }

  #goneOf(epoch: string, atLeast: number): Gone {
    const known = this.#gone.get(epoch)
    const gone = known ?? { waiting: [], from: 1, settled: new GrowingSet(), highest: 0 }
    if (known === undefined) this.#gone.set(epoch, gone)
    if (atLeast > gone.highest) gone.highest = atLeast
    return gone
  }
}

/** A sequence so far beyond all that was known before comes from a damaged or forged record, not from a stream. */
const MAX_STEP = 2 ** 30

/** Ascending, neighbours as one. Range by range: they may be long. */
function absentIn({ waiting, from, highest, settled }: Gone): SequenceRange[] {
  const absent: SequenceRange[] = []
  for (const range of [...waiting, [from, highest] as const]) {
    for (const [first, last] of settled.absent(range)) {
      const before = absent.at(-1)
      if (before !== undefined && before[1] === first - 1) absent.splice(-1, 1, [before[0], last])
      else absent.push([first, last])
    }
  }
  return absent
}
