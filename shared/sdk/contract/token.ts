import { hash } from 'node:crypto'

/**
 * The identity of an event: the first 16 bytes of SHA-256 over `model \n source \n id`, base64url, 22 characters.
 * The model belongs in it because the broker deduplicates per stream: the same id sent to two models would
 * otherwise be swallowed. Two sources may use the same id.
 */
export function eventToken(model: string, source: string, id: string): string {
  return shortDigest(`${model}\n${source}\n${id}`)
}

/** A 22-character digest of a payload: tells two payloads apart that claim the same identity. */
export function payloadDigest(body: Uint8Array): string {
  return shortDigest(body)
}

/** Whether `text` has the form of a token. */
export function isToken(text: string): boolean {
  return /^[A-Za-z0-9_-]{22}$/.test(text)
}

function shortDigest(input: string | Uint8Array): string {
  return hash('sha256', input, 'buffer').subarray(0, 16).toString('base64url')
}
