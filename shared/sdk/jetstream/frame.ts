import type { Msg } from '@nats-io/transport-node'
import type { Headers } from '../contract/headers.ts'
import { parseHeaderBlock } from './stored-message.ts'

/** A message as it came from the broker, its headers unread. Its bytes are views of what was read: never written. */
export interface Frame {
  readonly subject: string
  /** Where an answer goes; empty where nobody asks for one. */
  readonly reply: string
  /** With its first and its empty line; empty where there is none. */
  readonly headerBlock: Uint8Array
  readonly data: Uint8Array
}

/**
 * What the client keeps of a message. Its own `headers` are not used: they take time with the square of their number,
 * and throw on bytes the server let pass, which ends the client's reader: one event would deafen the process.
 */
interface ClientMessage {
  readonly _rdata?: Uint8Array
  readonly _msg: { readonly hdr: number }
}

const noBytes = new Uint8Array()

/** A message of the client as a frame. */
export function frameOf(message: Msg): Frame {
  const { _rdata: bytes, _msg } = message as unknown as ClientMessage
  return {
    subject: message.subject,
    reply: message.reply ?? '',
    headerBlock: bytes === undefined || _msg.hdr <= 0 ? noBytes : bytes.subarray(0, _msg.hdr),
    data: message.data,
  }
}

/** The headers of a received message: names in lower case, the first value of each. Never throws. */
export function readFrameHeaders({ headerBlock }: Pick<Frame, 'headerBlock'>): Headers {
  return parseHeaderBlock(headerBlock)
}

/** The status in the first line of a header block: `NATS/1.0 404 No Messages`. */
export function readStatus({
  headerBlock,
}: Pick<Frame, 'headerBlock'>): { readonly code: number; readonly description: string } | undefined {
  const line = Buffer.from(headerBlock.subarray(0, 256)).toString('latin1')
  const match = /^NATS\/1\.0 (\d{3})(?: ([^\r\n]*))?/.exec(line)
  return match === null ? undefined : { code: Number(match[1]), description: match[2] ?? '' }
}

/** What a message counts for in bytes. */
export function frameBytes({ subject, reply, headerBlock, data }: Frame): number {
  return data.length + headerBlock.length + subject.length + reply.length
}
