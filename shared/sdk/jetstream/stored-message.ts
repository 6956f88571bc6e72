import type { Headers } from '../contract/headers.ts'

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
