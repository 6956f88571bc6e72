import { PeltonError } from '../../sdk/errors.ts'

/** What the ledger says of a plain prediction: its digests, more than one only where records contradict each other. */
export interface PlainEntry {
  /** None in entries of before. */
  readonly digests: readonly number[]
}

/** What a stored prediction is to the ledger. */
export type Seen = 'as-recorded' | 'other-digest' | 'second' | 'unrecorded'

const ENTERED = 1
const HAS_DIGEST = 2
const IS_SEEN = 4
const IS_LATE = 8
const HAS_MORE = 16
const IS_OLD = 32

/** Sequences side by side in memory: five bytes each. Few, because a damaged record may name them far apart. */
const CHUNK = 512
/** 2^30 sequences: a longer span needs a floor. */
const MAX_CHUNKS = 2 ** 21

interface Chunk {
  readonly flags: Uint8Array
  readonly digests: Uint32Array
}

/**
 * The plain predictions of one FEATURES, as the ledger names them, and which of them were seen in RESULTS: some six bytes a
 * sequence, no object for each.
 */
export class PlainPredictions {
  readonly #chunks = new Map<number, Chunk>()
  /** Digests beyond the first of a sequence, and those of them that were seen. */
  readonly #more = new Map<number, number[]>()
  readonly #moreSeen = new Set<string>()

  /**
   * @param isLate entered after RESULTS was read: its prediction may be younger than what was read
   * @throws PeltonError `invalid-argument` beyond 2^30 sequences
   */
  enter(sequence: number, digest: number | undefined, isLate: boolean): void {
    const { flags, digests } = this.#chunkOf(sequence)
    const at = sequence % CHUNK
    const before = flags[at] ?? 0
    if (digest !== undefined && (before & HAS_DIGEST) !== 0) {
      if (digests[at] !== digest) this.#enterMore(sequence, digest, flags)
      return
    }
    const late = before === 0 && isLate ? IS_LATE : before & IS_LATE
    flags[at] = (before & ~IS_LATE) | ENTERED | late | (digest === undefined ? 0 : HAS_DIGEST)
    if (digest !== undefined) digests[at] = digest
  }

  /** Says what a prediction of this sequence is, the first time for each that is stored. */
  see(sequence: number, digest: number): Seen {
    const chunk = this.#chunks.get(Math.floor(sequence / CHUNK))
    const at = sequence % CHUNK
    const flags = chunk?.flags[at] ?? 0
    if (chunk === undefined || flags === 0) return 'unrecorded'
    if ((flags & HAS_MORE) !== 0 && this.#more.get(sequence)?.includes(digest) === true) {
      this.#moreSeen.add(`${sequence} ${digest}`)
      return 'as-recorded'
    }
    if ((flags & HAS_DIGEST) !== 0 && chunk.digests[at] !== digest) return 'other-digest'
    if ((flags & IS_SEEN) !== 0) return 'second'
    chunk.flags[at] = flags | IS_SEEN
    return 'as-recorded'
  }

  /** What the ledger says of a sequence; `undefined` where it names no plain prediction. */
  find(sequence: number): PlainEntry | undefined {
    const chunk = this.#chunks.get(Math.floor(sequence / CHUNK))
    const flags = chunk?.flags[sequence % CHUNK] ?? 0
    if (chunk === undefined || flags === 0) return undefined
    if ((flags & HAS_DIGEST) === 0) return { digests: [] }
    return { digests: [chunk.digests[sequence % CHUNK] ?? 0, ...(this.#more.get(sequence) ?? [])] }
  }

  /** Its prediction may have expired. @returns whether it was not seen, the first time for each sequence */
  excuse(sequence: number): boolean {
    const flags = this.#chunks.get(Math.floor(sequence / CHUNK))?.flags
    const flag = flags?.[sequence % CHUNK] ?? 0
    if (flags === undefined || (flag & ENTERED) === 0 || (flag & (IS_SEEN | IS_OLD)) !== 0) return false
    flags[sequence % CHUNK] = flag | IS_OLD
    return true
  }

  /** Sequences without digest, of before. */
  get withoutDigest(): number {
    let count = 0
    for (const { flags } of this.#chunks.values())
      for (const flag of flags) if ((flag & (ENTERED | HAS_DIGEST)) === ENTERED) count++
    return count
  }

  /** Sequences, entered in time, whose prediction should be there and was not seen, or not each that the ledger names. */
  *unseen(): Generator<number> {
    for (const index of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const flags = this.#chunks.get(index)?.flags ?? []
      for (const [at, flag] of flags.entries()) {
        if (flag === 0 || (flag & (IS_LATE | IS_OLD)) !== 0) continue
        const sequence = index * CHUNK + at
        if ((flag & IS_SEEN) === 0 || this.#isMoreUnseen(sequence, flag)) yield sequence
      }
    }
  }

  #isMoreUnseen(sequence: number, flag: number): boolean {
    if ((flag & HAS_MORE) === 0) return false
    return this.#more.get(sequence)?.some((digest) => !this.#moreSeen.has(`${sequence} ${digest}`)) === true
  }

  #enterMore(sequence: number, digest: number, flags: Uint8Array): void {
    const known = this.#more.get(sequence) ?? []
    if (known.includes(digest)) return
    this.#more.set(sequence, [...known, digest])
    flags[sequence % CHUNK] = (flags[sequence % CHUNK] ?? 0) | HAS_MORE
  }

  #chunkOf(sequence: number): Chunk {
    const index = Math.floor(sequence / CHUNK)
    const known = this.#chunks.get(index)
    if (known !== undefined) return known
    if (this.#chunks.size >= MAX_CHUNKS) {
      throw new PeltonError('invalid-argument', 'too many sequences for one audit', {
        field: 'sequences',
        value: String(sequence),
        remedy: 'Audit without --deep, from a floor; sign off floors from time to time.',
      })
    }
    const made = { flags: new Uint8Array(CHUNK), digests: new Uint32Array(CHUNK) }
    this.#chunks.set(index, made)
    return made
  }
}
