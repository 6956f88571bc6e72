import { PeltonError, showValue } from '../errors.ts'

const LEDGER_OUTCOMES = [
  ...(['predicted', 'already-answered', 'dead-lettered', 'retried'] as const),
  ...(['discarded', 'replayed', 'purged'] as const),
] as const

/** How a delivery ended. The first four are a worker's, the rest an operator's. */
export type LedgerOutcome = (typeof LEDGER_OUTCOMES)[number]

const OUTCOMES: ReadonlySet<unknown> = new Set(LEDGER_OUTCOMES)

/**
 * What may stand without its token: a plain prediction, and what is lost, of which nobody knows the token. Anything else
 * could be held against nothing that is stored: its record would account for an event by its mere word.
 */
const WITHOUT_TOKEN: ReadonlySet<LedgerOutcome> = new Set(['predicted', 'purged'])

/** One settled delivery, as the ledger accounts for it. */
export interface LedgerEntry {
  /** Sequence in the stream that delivered it (FEATURES or RETRIES). */
  readonly sequence: number
  readonly outcome: LedgerOutcome
  /** Needed where the delivery came from RETRIES or the outcome is not plain `predicted`. */
  readonly token?: string
  /**
   * Digest of the message in RESULTS, as `outcomeDigest` makes it: the prediction or the failure notice, for
   * `already-answered` what was read there. For `retried` what `inputDigestStart` makes. Unset in entries of before.
   */
  readonly digest?: number
  /** Digest of the dead letter, where the outcome has one. Stands beside `digest` only. */
  readonly letterDigest?: number
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
  /** A digest of four bytes for each sequence of `predicted`, in the order of its ranges; base64. */
  readonly digests?: string
  /** Everything else. */
  readonly other?: readonly WireEntry[]
}

/** The digests are those of an entry, four bytes each; base64. */
type WireEntry = readonly [sequence: number, outcome: LedgerOutcome, token: string, digests?: string]

const DIGEST_BYTES = 4
const utf8 = new TextEncoder()
const utf8Text = new TextDecoder()

/**
 * A record as bytes. Plain predictions without token become ranges and a row of digests: a batch of 64 takes some 30
 * bytes and 5.6 for each event, not 64 entries.
 *
 * @throws Error for a digest that is not of 32 bits, and for one of a dead letter alone
 */
export function encodeLedgerRecord(record: LedgerRecord): Uint8Array {
  const { plain, digests, rest } = sortEntries(record.entries)
  const wire: WireRecord = {
    v: 1,
    stream: record.stream,
    epoch: record.epoch,
    by: record.by,
    ...(plain.length > 0 && { predicted: rangesOf(plain) }),
    ...(digests.length > 0 && { digests: encodeDigests(digests) }),
    ...(rest.length > 0 && { other: rest.map(encodeEntry) }),
  }
  return utf8.encode(JSON.stringify(wire))
}

interface SortedEntries {
  /** Ascending. */
  readonly plain: Float64Array
  /** One for each of `plain`, in the order of their ranges; none where no prediction has one. */
  readonly digests: readonly number[]
  readonly rest: readonly LedgerEntry[]
}

/** Parts plain predictions from the rest. What has no place in the one row of digests is no plain one. */
function sortEntries(entries: readonly LedgerEntry[]): SortedEntries {
  const hasDigests = entries.some((entry) => isPlain(entry) && entry.digest !== undefined)
  const bySequence = new Map<number, number | undefined>()
  const rest: LedgerEntry[] = []
  for (const entry of entries) {
    const isOneOfMany = isPlain(entry) && (entry.digest !== undefined) === hasDigests
    const isRepeat = bySequence.has(entry.sequence) && bySequence.get(entry.sequence) !== entry.digest
    if (isOneOfMany && !isRepeat) bySequence.set(entry.sequence, entry.digest)
    else rest.push(entry)
  }
  const plain = Float64Array.from(bySequence.keys()).sort()
  const digests = hasDigests ? Array.from(plain, (sequence) => bySequence.get(sequence) as number) : []
  return { plain, digests, rest }
}

function encodeEntry({ sequence, outcome, token = '', digest, letterDigest }: LedgerEntry): WireEntry {
  if (digest === undefined) {
    if (letterDigest !== undefined) throw new Error(`entry ${sequence} has the digest of a dead letter alone`)
    return [sequence, outcome, token]
  }
  const digests = letterDigest === undefined ? [digest] : [digest, letterDigest]
  return [sequence, outcome, token, encodeDigests(digests)]
}

function encodeDigests(digests: readonly number[]): string {
  const bytes = Buffer.alloc(digests.length * DIGEST_BYTES)
  for (const [index, digest] of digests.entries()) {
    if (digest >>> 0 !== digest) throw new Error(`digest ${showValue(digest)}`)
    bytes.writeUInt32BE(digest, index * DIGEST_BYTES)
  }
  return bytes.toString('base64')
}

/** @throws Error for text that is not the base64 of whole digests */
function decodeDigests(text: unknown): number[] {
  if (typeof text !== 'string') throw new Error(`digests ${showValue(text)}`)
  const bytes = Buffer.from(text, 'base64')
  // What decodes to other text than it came from was damaged: the decoder skips what it does not know.
  if (bytes.length % DIGEST_BYTES !== 0 || bytes.toString('base64') !== text)
    throw new Error(`digests ${showValue(text)}`)
  return Array.from({ length: bytes.length / DIGEST_BYTES }, (_, index) =>
    bytes.readUInt32BE(index * DIGEST_BYTES),
  )
}

/** @throws PeltonError `malformed` for bytes that are not a ledger record. */
export function decodeLedgerRecord(bytes: Uint8Array): LedgerRecord {
  try {
    const wire = JSON.parse(utf8Text.decode(bytes)) as WireRecord
    if (wire.v !== 1) throw new Error(`version ${showValue(wire.v)}`)
    for (const field of ['stream', 'epoch', 'by'] as const) {
      if (typeof wire[field] !== 'string') throw new Error(`${field} ${showValue(wire[field])}`)
    }
    const predicted = decodePlain(wire.predicted ?? '', wire.digests)
    const other = (wire.other ?? []).map(decodeEntry)
    return { stream: wire.stream, epoch: wire.epoch, by: wire.by, entries: [...predicted, ...other] }
  } catch (cause) {
    throw new PeltonError('malformed', 'not a ledger record', { field: 'LEDGER' }, cause)
  }
}

function decodePlain(ranges: string, digests: string | undefined): LedgerEntry[] {
  const sequences = decodeRanges(ranges)
  if (digests === undefined) return sequences.map((sequence) => ({ sequence, outcome: 'predicted' }))
  const each = decodeDigests(digests)
  if (each.length !== sequences.length)
    throw new Error(`${each.length} digests of ${sequences.length} predictions`)
  return sequences.map((sequence, index) => ({
    sequence,
    outcome: 'predicted',
    digest: each[index] as number,
  }))
}

function decodeEntry([sequence, outcome, token, digests]: WireEntry): LedgerEntry {
  const isNamed = typeof token === 'string' && (token !== '' || WITHOUT_TOKEN.has(outcome))
  if (!Number.isSafeInteger(sequence) || !OUTCOMES.has(outcome) || !isNamed)
    throw new Error(`entry ${showValue([sequence, outcome, token])}`)
  const named = { sequence, outcome, ...(token !== '' && { token }) }
  if (digests === undefined) return named
  const [digest, letterDigest, ...more] = decodeDigests(digests)
  if (digest === undefined || more.length > 0) throw new Error(`digests of ${sequence} ${showValue(digests)}`)
  return { ...named, digest, ...(letterDigest !== undefined && { letterDigest }) }
}

function isPlain(entry: LedgerEntry): boolean {
  return entry.outcome === 'predicted' && entry.token === undefined && entry.letterDigest === undefined
}

/** `[3,4,5,9]` → `3-5,9`. Order does not matter, repeats vanish. */
export function encodeRanges(sequences: readonly number[]): string {
  return rangesOf(Float64Array.from(sequences).sort())
}

function rangesOf(sorted: Float64Array): string {
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
