import { PeltonError } from '../../sdk/errors.ts'

/** First and last sequence, both included. */
export type SequenceRange = readonly [first: number, last: number]

/** A bit per sequence: 128 MiB. A longer span needs a floor. */
const MAX_SPAN = 2 ** 30

/** A set of the sequences between two bounds, one bit each. Sequences outside are never in it. */
export class SequenceSet {
  readonly first: number
  readonly last: number
  readonly #bits: Uint8Array
  #size = 0

  /** @throws PeltonError `invalid-argument` where the span is longer than 2^30 sequences */
  constructor(first: number, last: number) {
    const span = Math.max(0, last - first + 1)
    if (span > MAX_SPAN) {
      throw new PeltonError('invalid-argument', 'too many sequences for one audit', {
        field: 'sequences',
        value: `${first}-${last}`,
        remedy: 'Sign off floors from time to time, so that an audit starts at the last one.',
      })
    }
    this.first = first
    this.last = last
    this.#bits = new Uint8Array(Math.ceil(span / 8))
  }

  get size(): number {
    return this.#size
  }

  has(sequence: number): boolean {
    const index = sequence - this.first
    return this.#contains(sequence) && ((this.#bits[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
  }

  /** @returns whether it was not in the set before; false outside the bounds */
  add(sequence: number): boolean {
    if (!this.#contains(sequence) || this.has(sequence)) return false
    const index = sequence - this.first
    this.#bits[index >>> 3] = (this.#bits[index >>> 3] ?? 0) | (1 << (index & 7))
    this.#size++
    return true
  }

  delete(sequence: number): boolean {
    if (!this.has(sequence)) return false
    const index = sequence - this.first
    this.#bits[index >>> 3] = (this.#bits[index >>> 3] ?? 0) & ~(1 << (index & 7))
    this.#size--
    return true
  }

  addRange([first, last]: SequenceRange): void {
    const end = Math.min(last, this.last)
    for (let sequence = Math.max(first, this.first); sequence <= end; sequence++) this.add(sequence)
  }

  /** Sequences within the bounds that are not in the set, ascending. */
  *absent(): Generator<number> {
    for (let sequence = this.first; sequence <= this.last; sequence++) {
      const index = sequence - this.first
      if ((index & 7) === 0 && this.#bits[index >>> 3] === 0xff) sequence += 7
      else if (!this.has(sequence)) yield sequence
    }
  }

  /** Sequences in the set, ascending. */
  *present(): Generator<number> {
    for (let sequence = this.first; sequence <= this.last; sequence++) {
      const index = sequence - this.first
      if ((index & 7) === 0 && this.#bits[index >>> 3] === 0) sequence += 7
      else if (this.has(sequence)) yield sequence
    }
  }

  #contains(sequence: number): boolean {
    return sequence >= this.first && sequence <= this.last
  }
}

const BITS_IN_CHUNK = 32_768

/** A set of sequences from 1 without an end that is known before, one bit each. */
export class GrowingSet {
  readonly #chunks = new Map<number, Uint8Array>()

  add(sequence: number): void {
    const index = Math.floor(sequence / BITS_IN_CHUNK)
    const bits = this.#chunks.get(index) ?? new Uint8Array(BITS_IN_CHUNK / 8)
    const at = sequence % BITS_IN_CHUNK
    bits[at >>> 3] = (bits[at >>> 3] ?? 0) | (1 << (at & 7))
    this.#chunks.set(index, bits)
  }

  has(sequence: number): boolean {
    const bits = this.#chunks.get(Math.floor(sequence / BITS_IN_CHUNK))
    const at = sequence % BITS_IN_CHUNK
    return ((bits?.[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0
  }

  /** What lies between two sequences and is not in the set, ascending. Where nothing was added it takes no time. */
  *absent([first, last]: SequenceRange): Generator<SequenceRange> {
    let open = first
    for (const index of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const begin = index * BITS_IN_CHUNK
      const end = Math.min(last, begin + BITS_IN_CHUNK - 1)
      for (let sequence = Math.max(first, begin); sequence <= end; sequence++) {
        if (!this.has(sequence)) continue
        if (open < sequence) yield [open, sequence - 1]
        open = sequence + 1
      }
    }
    if (open <= last) yield [open, last]
  }
}

/** `[3, 4, 5, 9]` → `[[3, 5], [9, 9]]`. Ascending sequences only. */
export function toRanges(sequences: Iterable<number>): SequenceRange[] {
  const ranges: [number, number][] = []
  for (const sequence of sequences) {
    const open = ranges.at(-1)
    if (open !== undefined && open[1] === sequence - 1) open[1] = sequence
    else ranges.push([sequence, sequence])
  }
  return ranges
}

/** Ranges for people: `3-5, 9`. */
export function showRanges(ranges: readonly SequenceRange[]): string {
  return ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(', ')
}

/**
 * Reads `3-5,9`, as {@link showRanges} and the ledger write it.
 *
 * @returns `undefined` for text that is not a list of ranges
 */
export function parseRanges(text: string): SequenceRange[] | undefined {
  const ranges: SequenceRange[] = []
  for (const part of text.split(',')) {
    const [, from, to = from] = /^\s*(\d{1,15})(?:-(\d{1,15}))?\s*$/.exec(part) ?? []
    if (from === undefined || Number(to) < Number(from)) return undefined
    ranges.push([Number(from), Number(to)])
  }
  return ranges
}

/** How many sequences lie in ranges that do not overlap. */
export function countIn(ranges: readonly SequenceRange[]): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
}
