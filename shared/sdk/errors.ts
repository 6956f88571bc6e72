/**
 * One table of errors. It decides the HTTP status of a refusal, whether the worker tries again, and whether a
 * dead letter may be replayed as it is. Dead-letter reasons are the first eleven codes; the rest never become one.
 */

export interface ErrorFacts {
  /** HTTP status an answer over HTTP has; a dead letter's failure notice names it, too. */
  readonly status: number
  /** Whether trying the same thing again later can succeed. */
  readonly retryable: boolean
  /** Whether a dead letter with this reason may be replayed unchanged; `never` for errors that make no dead letter. */
  readonly replay: 'as-is' | 'after-edit' | 'never'
  /** One line for people. */
  readonly summary: string
}

export const REASONS = {
  malformed: {
    status: 400,
    retryable: false,
    replay: 'after-edit',
    summary: 'the event cannot be read',
  },
  'schema-mismatch': {
    status: 422,
    retryable: false,
    replay: 'after-edit',
    summary: 'the event can be read but does not fit the signature of its model',
  },
  'unknown-model': {
    status: 404,
    retryable: false,
    replay: 'as-is',
    summary: 'nobody of the pool has ever had this model, or this version of it',
  },
  'deadline-exceeded': {
    status: 504,
    retryable: false,
    replay: 'after-edit',
    summary: 'the deadline of the event passed before it could be predicted',
  },
  shed: {
    status: 503,
    retryable: false,
    replay: 'as-is',
    summary: 'the event could not have been predicted before its deadline and was given up early',
  },
  'inference-failed': {
    status: 500,
    retryable: true,
    replay: 'as-is',
    summary: 'the model failed on this event',
  },
  'invalid-output': {
    status: 500,
    retryable: false,
    replay: 'as-is',
    summary: 'the model answered with something that cannot be a prediction',
  },
  'worker-crashed': {
    status: 500,
    retryable: false,
    replay: 'as-is',
    summary: 'the event ended the worker process each time it was tried',
  },
  'timed-out': {
    status: 504,
    retryable: true,
    replay: 'as-is',
    summary: 'the model did not finish within its time limit',
  },
  'too-large': {
    status: 413,
    retryable: false,
    replay: 'after-edit',
    summary: 'the event or its prediction is larger than the broker accepts',
  },
  undeliverable: {
    status: 503,
    retryable: true,
    replay: 'as-is',
    summary: 'the outcome could not be stored',
  },
} as const satisfies Record<string, ErrorFacts>

/** Why an event became a dead letter: a closed set. */
export type Reason = keyof typeof REASONS

export const ERRORS = {
  ...REASONS,
  'invalid-argument': {
    status: 400,
    retryable: false,
    replay: 'never',
    summary: 'a value given to Pelton is not usable',
  },
  'invalid-configuration': {
    status: 500,
    retryable: false,
    replay: 'never',
    summary: 'settings or manifests are not usable',
  },
  'broker-not-found': {
    status: 503,
    retryable: false,
    replay: 'never',
    summary: 'no nats-server could be found or obtained',
  },
  'broker-too-old': {
    status: 503,
    retryable: false,
    replay: 'never',
    summary: 'the nats-server is older than Pelton needs',
  },
  'broker-unavailable': {
    status: 503,
    retryable: true,
    replay: 'never',
    summary: 'the broker does not answer',
  },
  'not-provisioned': {
    status: 503,
    retryable: false,
    replay: 'never',
    summary: 'a stream or consumer of Pelton is missing or differs',
  },
  'stream-full': {
    status: 503,
    retryable: true,
    replay: 'never',
    summary: 'a stream is at its limit and refuses new messages',
  },
  overloaded: {
    status: 503,
    retryable: true,
    replay: 'never',
    summary: 'more is asked than can be answered in time, so the event was not let in',
  },
  'rate-limited': {
    status: 429,
    retryable: true,
    replay: 'never',
    summary: 'its source sends more than its share or its quota, so the event was not let in',
  },
  'outbox-full': {
    status: 503,
    retryable: true,
    replay: 'never',
    summary: 'an outbox on disk is at its limit and takes no more events for now',
  },
  'outbox-unusable': {
    status: 500,
    retryable: false,
    replay: 'never',
    summary: 'the folder of an outbox cannot be opened, read or written',
  },
  'model-refused': {
    status: 500,
    retryable: false,
    replay: 'never',
    summary: 'a model file or its manifest cannot be served',
  },
  'model-unavailable': {
    status: 503,
    retryable: true,
    replay: 'never',
    summary: 'a model cannot be served here for now: its file, or the memory or time to load it, is missing',
  },
  conflict: {
    status: 409,
    retryable: false,
    replay: 'never',
    summary: 'what was asked for is over, or is in the hands of another process',
  },
  timeout: { status: 504, retryable: true, replay: 'never', summary: 'no answer came in time' },
  closed: {
    status: 503,
    retryable: false,
    replay: 'never',
    summary: 'this producer, subscriber or worker is closed',
  },
  internal: { status: 500, retryable: false, replay: 'never', summary: 'a defect in Pelton' },
} as const satisfies Record<string, ErrorFacts>

export type ErrorCode = keyof typeof ERRORS

/** What an error is about: enough for its reader to mend it. */
export interface ErrorDetails {
  /** Path of the offending field, header, setting or option: `inputs[0].shape`, `PELTON_NATS_URL`. */
  readonly field?: string
  /** The offending value, shortened with {@link showValue}. */
  readonly value?: string
  /** What to do about it, as an instruction. */
  readonly remedy?: string
  /** When to try again, milliseconds, where somebody computed that. */
  readonly retryAfterMs?: number
}

/**
 * The one error class of Pelton. Compare `code`, never classes or messages.
 * The message begins with the code; `cause` keeps the original error for logs and is never sent over the wire.
 */
export class PeltonError extends Error {
  override readonly name = 'PeltonError'
  readonly code: ErrorCode
  readonly details: ErrorDetails
  /** The sentence without the code: what goes into a dead letter's description. */
  readonly description: string

  constructor(code: ErrorCode, description: string, details: ErrorDetails = {}, cause?: unknown) {
    super(`${code}: ${withDetails(description, details)}`, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
    this.description = withDetails(description, details)
  }
}

/** Whether `code` is one of the reasons an event can become a dead letter for. */
export function isReason(code: string): code is Reason {
  return Object.hasOwn(REASONS, code)
}

/** Turns anything thrown into a {@link PeltonError}; what is not one already becomes `fallback`, its text kept only as `cause`. */
export function toPeltonError(thrown: unknown, fallback: ErrorCode, description: string): PeltonError {
  return thrown instanceof PeltonError ? thrown : new PeltonError(fallback, description, {}, thrown)
}

/** The words of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/**
 * A value for an error message: JSON-like, one line, at most `maxLength` characters. Of long texts and lists only what
 * can be seen is written, however large they are.
 */
export function showValue(value: unknown, maxLength = 80): string {
  const json = typeof value === 'bigint' ? String(value) : (safeJson(value, maxLength) ?? String(value))
  const text = json.replace(HIDDEN, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`
}

/** What JSON may hold as it is, and what a person would not see: DEL, C1, bidirectional and zero-width marks, separators. */
const HIDDEN = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

function safeJson(value: unknown, maxLength: number): string | undefined {
  try {
    return JSON.stringify(value, (_key, item) =>
      typeof item === 'bigint' ? String(item) : cut(item, maxLength),
    )
  } catch {
    return undefined
  }
}

/** Each character of a text and each item of a list takes at least one of those that are shown. */
function cut(item: unknown, maxLength: number): unknown {
  const isLong = (typeof item === 'string' || Array.isArray(item)) && item.length > maxLength
  return isLong ? item.slice(0, maxLength + 1) : item
}

/** A sentence with what it is about, and what to do. */
export function withDetails(description: string, { field, value, remedy }: ErrorDetails): string {
  const about = field === undefined ? '' : ` (${field}${value === undefined ? '' : ` = ${value}`})`
  return `${description}${about}${remedy === undefined ? '' : `. ${remedy}`}`
}
