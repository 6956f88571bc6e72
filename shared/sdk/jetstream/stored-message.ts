import type { Msg } from '@nats-io/transport-node'
import type { Headers } from '../contract/headers.ts'

/**
 * What the client keeps of a message. Its own `headers` are not used: they take time with the square of their number,
 * and throw on bytes the server let pass, which ends the client's reader: one event would deafen the process.
 */
interface ClientMessage {
  readonly _rdata?: Uint8Array
  readonly _msg: { readonly hdr: number }
}

const noBytes = new Uint8Array()

/** The raw header block of a received message; empty when it has none. */
export function headerBlockOf(message: Msg): Uint8Array {
  const { _rdata: bytes, _msg } = message as unknown as ClientMessage
  return bytes === undefined || _msg.hdr <= 0 ? noBytes : bytes.subarray(0, _msg.hdr)
}

/** The headers of a received message: names in lower case, the first value of each. Never throws. */
export function readMessageHeaders(message: Msg): Headers {
  return parseHeaderBlock(headerBlockOf(message))
}

/** The status in the first line of a header block: `NATS/1.0 404 No Messages`. */
export function readStatus(
  message: Msg,
): { readonly code: number; readonly description: string } | undefined {
  const line = Buffer.from(headerBlockOf(message)).toString('latin1', 0, 256)
  const match = /^NATS\/1\.0 (\d{3})(?: ([^\r\n]*))?/.exec(line)
  return match === null ? undefined : { code: Number(match[1]), description: match[2] ?? '' }
}

/** What a message counts for in bytes, without reading its headers. */
export function messageBytes(message: Msg): number {
  return (
    message.data.length +
    headerBlockOf(message).length +
    message.subject.length +
    (message.reply?.length ?? 0)
  )
}

/** Parses a raw header block, as `STREAM.MSG.GET` returns it. */
export function parseHeaderBlock(block: Uint8Array): Headers {
  const headers = new Map<string, string>()
  for (const line of Buffer.from(block).toString('utf8').split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    const key = line.slice(0, colon).toLowerCase()
    if (!headers.has(key)) headers.set(key, line.slice(colon + 1).trim())
  }
  return headers
}
