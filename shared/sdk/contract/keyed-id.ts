import { payloadDigest } from './token.ts'

/** What the id of an event with an idempotency key says. */
export interface KeyedId {
  /** Of key, model, version where one is named, and source: 22 characters, base64url. */
  readonly digest: string
  /** From 1. The next one is made after an answer that may be tried again. */
  readonly attempt: number
}

const FORM = /^idempotency:([A-Za-z0-9_-]{22}):([1-9]\d{0,5})$/

const utf8 = new TextEncoder()

/** What an idempotency key counts within, and the key. */
export interface KeyScope {
  readonly model: string
  /** Version that is asked for; undefined for the one that workers serve as stable. */
  readonly modelVersion?: string | undefined
  /** Two sources may use the same key. */
  readonly source: string
  readonly key: string
}

/** What an idempotency key is for one model, or one version of it that is named, and one source. */
export function keyDigest({ model, modelVersion, source, key }: KeyScope): string {
  const version = modelVersion === undefined ? [] : [modelVersion]
  return payloadDigest(utf8.encode(JSON.stringify([model, source, key, ...version])))
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
