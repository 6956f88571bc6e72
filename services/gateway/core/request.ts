import type { HeaderEntry } from '../../../shared/sdk/contract/headers.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { Failure, Prediction } from '../../../shared/sdk/result.ts'

/** Who asks, and what it may ask for. */
export interface Caller {
  /** Id of its API key; undefined where none is needed. */
  readonly keyId: string | undefined
  /** Source of its events, and whose results it may read: `key/<id>`, or `http` where no key is needed. */
  readonly source: string
  /** Pool its events go to. */
  readonly pool: string
  /** What asks for a higher lane is lowered to this one. */
  readonly highestLane: Lane
  /** Class of its quota; undefined for none. */
  readonly quotaClass: string | undefined
  mayUse(model: string): boolean
}

/** What is asked of a model, as each protocol says it. */
export interface InferenceRequest {
  readonly caller: Caller
  readonly model: string
  /** Version that is asked for; undefined for the one that workers serve as stable. */
  readonly modelVersion: string | undefined
  /** Lane that is asked for, before it is lowered to the caller's highest. */
  readonly lane: Lane
  /** The data of the event as it goes into the stream: of one of the forms in docs/protocol.md. */
  readonly data: Uint8Array
  /** `ce-datacontenttype`: `application/json` or `application/octet-stream`. */
  readonly contentType: string
  /** Bytes of JSON before the first raw tensor in `data`. */
  readonly inferenceHeaderLength: number | undefined
  /** When the caller gives up, milliseconds from now; undefined for what the gateway is set to. */
  readonly timeoutMs: number | undefined
  /** Value of `Idempotency-Key`, without its quotes. */
  readonly idempotencyKey: string | undefined
  /** Identity and attributes that the caller gave: those of a CloudEvent. `source` counts only where no key is needed. */
  readonly attributes?: {
    readonly id?: string | undefined
    readonly source?: string | undefined
    readonly type?: string | undefined
    readonly time?: string | undefined
    readonly subject?: string | undefined
    readonly expiresAt?: string | undefined
    /** Further `ce-` headers, as they go into the event. */
    readonly extensions?: readonly HeaderEntry[] | undefined
  }
  readonly traceparent?: string | undefined
  readonly tracestate?: string | undefined
  readonly signal: CallerSignal
}

/** Aborted when the caller left. What is used of an `AbortSignal`, which is one: most requests end without. */
export interface CallerSignal extends Pick<AbortSignal, 'aborted' | 'reason' | 'throwIfAborted'> {
  addEventListener(type: 'abort', listener: LeavingListener): void
  removeEventListener(type: 'abort', listener: LeavingListener): void
}

/** Told once. */
export interface LeavingListener {
  handleEvent(): void
}

/** How an answer is wanted: on this connection, or later where it is not there within `waitMs`. */
export type Wanted = { readonly mode: 'sync' } | { readonly mode: 'async'; readonly waitMs: number }

/** An event that the stream has: it will be answered. */
export interface Accepted {
  readonly token: string
  readonly model: string
  readonly pool: string
  /** Lane it went to. */
  readonly lane: Lane
  /** Lane it was asked for, where the caller's highest is lower. */
  readonly loweredFrom: Lane | undefined
  /** Position in FEATURES; of the first one where an idempotency key joined it. */
  readonly sequence: number
  /** Whether the stream held this event already, and stored nothing new; undefined where that was not asked. */
  readonly duplicate?: boolean | undefined
  /** Signed: by it any gateway finds what became of the event. Characters of base64url, `.` and `~`. */
  readonly handle: string
  /** Backlog ahead of it in its lane, seconds, where that is known. */
  readonly backlogSeconds: number | undefined
}

/** What came of a request. */
export type Answer =
  | { readonly kind: 'prediction'; readonly accepted: Accepted; readonly result: Prediction }
  | { readonly kind: 'failure'; readonly accepted: Accepted; readonly result: Failure }
  /** Not answered yet: asked for later, or `waitMs` is over. */
  | { readonly kind: 'accepted'; readonly accepted: Accepted }
  /** The deadline is over, and the event will be answered `deadline-exceeded`, or was answered too late to be seen; or the gateway ends. */
  | { readonly kind: 'timeout'; readonly accepted: Accepted; readonly timeoutMs: number }

/** What is known behind a handle. `gone`: stored once, answered, and no longer kept. `unknown`: no handle of this caller. */
export type Looked = Answer | { readonly kind: 'gone'; readonly token: string } | { readonly kind: 'unknown' }
