import type { KeyScope } from '../../../shared/sdk/contract/keyed-id.ts'
import type { StoredResult } from '../../../shared/sdk/result.ts'

/** What an idempotency key makes of a request. */
export type Claim =
  /** Nobody asked this before, or the answer of before may be tried again: publish it with this id. */
  | { readonly kind: 'new'; readonly id: string }
  /** It was asked and runs, perhaps at another gateway: wait for the outcome of this id, publish nothing. */
  | { readonly kind: 'running'; readonly id: string; readonly sequence: number | undefined }
  /** It was answered. */
  | { readonly kind: 'answered'; readonly id: string; readonly result: StoredResult }

/** A request with an idempotency key, as its memory sees it. */
export interface KeyedRequest extends KeyScope {
  readonly data: Uint8Array
  readonly contentType: string
  /** Milliseconds since 1970; undefined for none. */
  readonly deadlineAt: number | undefined
  readonly mode: 'sync' | 'async'
}

/** The memory of requests with an idempotency key. */
export interface KeyedRequests {
  /**
   * Whether something is known of the key of a request: it runs, or was answered. Writes nothing.
   *
   * @throws PeltonError broker-unavailable
   */
  isKnown(request: KeyedRequest): Promise<boolean>
  /** @throws Refusal 409 (async, still running), 422 (another body), 503 (bucket full), PeltonError broker-unavailable */
  claim(request: KeyedRequest): Promise<Claim>
  /**
   * The event of a `new` claim is stored at this position.
   *
   * @param answered resolves once its request has ended: with true where the outcome is known. Where that is soon, the position
   *   is of no use to anybody, and is not kept. Never rejects. @default it is kept at once
   */
  stored(request: KeyedRequest, claim: Claim, sequence: number, answered?: Promise<boolean>): Promise<void>
  /** The event of a `new` claim could not be published: the key is free again. */
  release(request: KeyedRequest, claim: Claim): Promise<void>
}
