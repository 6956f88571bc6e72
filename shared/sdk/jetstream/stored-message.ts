import type { Msg, MsgHdrs } from '@nats-io/transport-node'
import type { Headers } from '../contract/headers.ts'

const none: Headers = new Map()

/** The headers of a received message: names in lower case, the first value of each. */
export function readMessageHeaders(message: Msg): Headers {
  return message.headers === undefined ? none : fromClient(message.headers)
}

function fromClient(block: MsgHdrs): Headers {
  const headers = new Map<string, string>()
  for (const [name, values] of block) {
    const key = name.toLowerCase()
    if (!headers.has(key)) headers.set(key, values[0] ?? '')
  }
  return headers
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
