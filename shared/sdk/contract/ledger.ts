import { PeltonError, showValue } from '../errors.ts'

/** How a delivery ended. The first four are a worker's, the rest an operator's. */
export type LedgerOutcome =
  | 'predicted'
  | 'already-answered'
  | 'dead-lettered'
  | 'retried'
  | 'discarded'
  | 'replayed'
  | 'purged'

/** One settled delivery, as the ledger accounts for it. */
export interface LedgerEntry {
  /** Sequence in the stream that delivered it (FEATURES or RETRIES). */
  readonly sequence: number
  readonly outcome: LedgerOutcome
  /** Needed where the delivery came from RETRIES or the outcome is not plain `predicted`. */
  readonly token?: string
}

/** One message of the LEDGER stream: everything a worker settled at once, from one stream. */
export interface LedgerRecord {
  readonly stream: string
  /** Creation time of that stream. */
  readonly epoch: string
  /** Who settled: a worker's name, or the operator's. */
  readonly by: string
  readonly entries: readonly LedgerEntry[]
}

interface WireRecord {
  readonly v: 1
  readonly stream: string
  readonly epoch: string
  readonly by: string
  /** Sequences of plain predictions as ranges: `3-7,9`. */
  readonly predicted?: string
  /** Everything else: `[sequence, outcome, token]`. */
  readonly other?: readonly (readonly [sequence: number, outcome: LedgerOutcome, token: string])[]
}

/** A record as bytes. Plain predictions without token become ranges: a batch of 64 takes some 30 bytes, not 64 entries. */
export function encodeLedgerRecord(record: LedgerRecord): Uint8Array {
  const plain = record.entries.filter(isPlain).map((entry) => entry.sequence)
  const other = record.entries
    .filter((entry) => !isPlain(entry))
    .map((entry) => [entry.sequence, entry.outcome, entry.token ?? ''] as const)
  const wire: WireRecord = {
    v: 1,
    stream: record.stream,
    epoch: record.epoch,
    by: record.by,
    ...(plain.length > 0 && { predicted: encodeRanges(plain) }),
    ...(other.length > 0 && { other }),
  }
  return new TextEncoder().encode(JSON.stringify(wire))
}

/** @throws PeltonError `malformed` for bytes that are not a ledger record. */
export function decodeLedgerRecord(bytes: Uint8Array): LedgerRecord {
  try {
    const wire = JSON.parse(new TextDecoder().decode(bytes)) as WireRecord
    if (wire.v !== 1) throw new Error(`version ${showValue(wire.v)}`)
    for (const field of ['stream', 'epoch', 'by'] as const) {
      if (typeof wire[field] !== 'string') throw new Error(`${field} ${showValue(wire[field])}`)
    }
    const predicted = decodeRanges(wire.predicted ?? '').map((sequence) => ({
      sequence,
      outcome: 'predicted' as const,
    }))
    const other = (wire.other ?? []).map(decodeEntry)
    return { stream: wire.stream, epoch: wire.epoch, by: wire.by, entries: [...predicted, ...other] }
  } catch (cause) {
    throw new PeltonError('malformed', 'not a ledger record', { field: 'LEDGER' }, cause)
  }
}

function decodeEntry([sequence, outcome, token]: readonly [number, LedgerOutcome, string]): LedgerEntry {
  if (!Number.isSafeInteger(sequence) || typeof outcome !== 'string' || typeof token !== 'string')
    throw new Error(`entry ${showValue([sequence, outcome, token])}`)
  return { sequence, outcome, ...(token !== '' && { token }) }
}

function isPlain(entry: LedgerEntry): boolean {
  return entry.outcome === 'predicted' && entry.token === undefined
}

/** `[3,4,5,9]` → `3-5,9`. Order does not matter, repeats vanish. */
export function encodeRanges(sequences: readonly number[]): string {
  const sorted = Float64Array.from(sequences).sort()
  const ranges: string[] = []
  for (let i = 0; i < sorted.length; ) {
    const first = sorted[i] as number
    let last = first
    while (++i < sorted.length && (sorted[i] as number) <= last + 1) last = sorted[i] as number
    ranges.push(first === last ? String(first) : `${first}-${last}`)
  }
  return ranges.join(',')
}

/** More than any batch has: a damaged range must not fill the memory of an audit. */
const MAX_RECORD_ENTRIES = 1_000_000

/** The reverse of {@link encodeRanges}, ascending. @throws Error for text that is not a list of ranges */
export function decodeRanges(text: string): number[] {
  const sequences: number[] = []
  for (const range of text === '' ? [] : text.split(',')) {
    const [, from, to = from] = /^(\d{1,16})(?:-(\d{1,16}))?$/.exec(range) ?? []
    const first = Number(from)
    const last = Number(to)
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last) || last < first)
      throw new Error(`range ${showValue(range)}`)
    if (sequences.length + last - first >= MAX_RECORD_ENTRIES) throw new Error(`too many sequences: ${range}`)
    for (let sequence = first; sequence <= last; sequence++) sequences.push(sequence)
  }
  return sequences
}
