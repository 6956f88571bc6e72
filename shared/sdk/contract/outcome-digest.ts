import { crc32 } from 'node:zlib'
import { FIRST_LINE } from './headers.ts'

/**
 * Digest of an outcome as it lies in RESULTS or DEADLETTERS: CRC-32 (RFC 1952) of its header block, without the lines
 * that belong to the broker, and then of its body. It finds accidents and edits, not a forger: four bytes can be forged.
 *
 * @param headerBlock as written, or as stored
 * @returns 32 bits, unsigned
 */
export function outcomeDigest(headerBlock: Uint8Array, body: Uint8Array): number {
  return crc32(body, crc32(withoutBrokerLines(headerBlock)))
}

/**
 * The digest of an outcome whose broker lines stand first, as `encodeLines` writes it: the same as {@link outcomeDigest}.
 *
 * @param from where its own lines begin
 */
export function writtenDigest(headerBlock: Uint8Array, from: number, body: Uint8Array): number {
  return crc32(body, crc32(headerBlock.subarray(from), FIRST_LINE_DIGEST))
}

const FIRST_LINE_DIGEST = crc32(FIRST_LINE)

/** The digest of a message of which more comes: a large body is not gone over in one turn of a loop. */
export function goOnDigest(digest: number, more: Uint8Array): number {
  return crc32(more, digest)
}

/**
 * What the ledger keeps of a copy in the retry lane: the first 32 bits of the event's input digest, with which the
 * `Pelton-Input-Digest` of its outcome begins.
 *
 * @param inputDigest 22 characters, base64url
 * @returns 32 bits, unsigned; `undefined` for a text that is no digest
 */
export function inputDigestStart(inputDigest: string | undefined): number | undefined {
  const bytes = Buffer.from(inputDigest ?? '', 'base64url')
  return bytes.length === INPUT_DIGEST_BYTES ? bytes.readUInt32BE(0) : undefined
}

const INPUT_DIGEST_BYTES = 16

const LINE_END = '\r\n'

/**
 * The header block of a message as its writer meant it, without what only the broker reads or adds (`Nats-…`): those
 * lines differ from one try of the same outcome to the next.
 *
 * @returns the block itself where nothing is to be cut
 */
export function withoutBrokerLines(block: Uint8Array): Uint8Array {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength)
  if (!bytes.includes('\r\nN') && !bytes.includes('\r\nn')) return block // most, on their way to the broker
  const kept: Uint8Array[] = []
  let keptTo = 0
  for (let at = bytes.indexOf(LINE_END); at >= 0; ) {
    const line = at + LINE_END.length
    at = bytes.indexOf(LINE_END, line)
    const end = at < 0 ? bytes.length : at + LINE_END.length
    if (!isBrokerLine(bytes, line)) continue
    if (keptTo < line) kept.push(bytes.subarray(keptTo, line))
    keptTo = end
  }
  if (keptTo === 0) return block
  kept.push(bytes.subarray(keptTo))
  return Buffer.concat(kept)
}

/** Whether a line begins with `Nats-`, in any case. */
function isBrokerLine(bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < BROKER_PREFIX.length; index++) {
    const byte = bytes[at + index] ?? 0
    const lower = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte
    if (lower !== BROKER_PREFIX[index]) return false
  }
  return true
}

const BROKER_PREFIX = new TextEncoder().encode('nats-')
