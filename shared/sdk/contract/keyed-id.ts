import { payloadDigest } from './token.ts'

/** What the id of an event with an idempotency key says. */
export interface KeyedId {
  /** Of key, model and source: 22 characters, base64url. */
  readonly digest: string
  /** From 1. The next one is made after an answer that may be tried again. */
  readonly attempt: number
}

const FORM = /^idempotency:([A-Za-z0-9_-]{22}):([1-9]\d{0,5})$/

const utf8 = new TextEncoder()

/** What an idempotency key is for one model and one source: two sources may use the same key. */
export function keyDigest(model: string, source: string, key: string): string {
  return payloadDigest(utf8.encode(JSON.stringify([model, source, key])))
}

/** The id of an event with an idempotency key: the same for the same request, at whichever gateway. */
export function keyedId({ digest, attempt }: KeyedId): string {
  return `idempotency:${digest}:${attempt}`
}

/** The reverse of {@link keyedId}; `undefined` for the id of any other event. */
export function readKeyedId(id: string): KeyedId | undefined {
  const [, digest, attempt] = FORM.exec(id) ?? []
  return digest === undefined ? undefined : { digest, attempt: Number(attempt) }
}
