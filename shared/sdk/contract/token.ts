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

/** The last character of 16 bytes stands for two bits, and four that are 0. */
const LAST_CHARACTERS = 'AQgw'
const LENGTH = 22

function shortDigest(input: string | Uint8Array): string {
  const text = hash('sha256', input, 'base64url')
  const last = BASE64URL.indexOf(text.charAt(LENGTH - 1)) >> 4
  return text.slice(0, LENGTH - 1) + LAST_CHARACTERS.charAt(last)
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
