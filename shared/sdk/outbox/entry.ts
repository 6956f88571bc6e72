import { crc32 } from 'node:zlib'
import type { ErrorCode } from '../errors.ts'
import type { EventMessage } from '../event-message.ts'

/** Why the broker will never take an event as it is. */
export interface Refusal {
  readonly code: ErrorCode
  readonly description: string
  /** Milliseconds since 1970. */
  readonly at: number
}

/** One event as an outbox keeps it: the very message that is sent, so that nothing is encoded twice. */
export interface Entry {
  readonly message: EventMessage
  readonly model: string
  /** Milliseconds since 1970. */
  readonly acceptedAt: number
  /** Present once the event is rejected. */
  readonly refusal?: Refusal
}

const PREFIX_BYTES = 8
const utf8 = new TextEncoder()
const text = new TextDecoder('utf-8', { fatal: true })

/**
 * An entry as bytes: CRC-32 of everything after it, length of the head (both 32 bits, big-endian), the head as JSON, the
 * body as it is. LevelDB checks what it reads back from its log, but not what it reads from its tables.
 */
export function encodeEntry({ message, ...rest }: Entry): Uint8Array {
  const { body, ...envelope } = message
  const head = utf8.encode(JSON.stringify({ ...rest, envelope }))
  const bytes = new Uint8Array(PREFIX_BYTES + head.length + body.length)
  bytes.set(head, PREFIX_BYTES)
  bytes.set(body, PREFIX_BYTES + head.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(4, head.length)
  view.setUint32(0, crc32(bytes.subarray(4)))
  return bytes
}

/** The reverse of {@link encodeEntry}. @returns `undefined` for bytes that are damaged or something else */
export function decodeEntry(bytes: Uint8Array): Entry | undefined {
  if (bytes.length < PREFIX_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0) !== crc32(bytes.subarray(4))) return undefined
  const bodyAt = PREFIX_BYTES + view.getUint32(4)
  try {
    // What has our checksum was written by us, so its form needs no second look.
    const { envelope, ...rest } = JSON.parse(text.decode(bytes.subarray(PREFIX_BYTES, bodyAt)))
    return { ...rest, message: { ...envelope, body: bytes.subarray(bodyAt) } }
  } catch {
    return undefined
  }
}
