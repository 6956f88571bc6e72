import { type ErrorDetails, type PeltonError, type Reason, withDetails } from '../errors.ts'
import { CONTRACT_VERSION, type FeatureEvent, writeOrigin } from './event.ts'
import {
  encodeAttribute,
  HEADERS,
  type HeaderEntry,
  isHeaderName,
  readHeader,
  sanitizeHeaderValue,
} from './headers.ts'
import { subjects } from './subjects.ts'

/** Where in the life of an event it failed; `batch` is while it waited for its run. */
export type Stage = 'guard' | 'decode' | 'validate' | 'batch' | 'infer' | 'publish'

/** Why an event is given up: the error's code is one of the closed set of reasons. */
export interface Failure {
  readonly reason: Reason
  readonly description: string
  readonly stage: Stage
  /** What it is about, apart from the sentence that says it all. */
  readonly details?: ErrorDetails
}

export function failureOf(error: PeltonError, reason: Reason, stage: Stage): Failure {
  return { reason, description: error.description, stage, details: error.details }
}

/** The failure of an error that nobody throws: very many may fail so at once, and a stack costs more than all the rest. */
export function plainFailure({ description, details, ...failure }: Required<Failure>): Failure {
  return { ...failure, description: withDetails(description, details), details }
}

/** What made an outcome, and when. */
export interface Provenance {
  readonly worker: string
  /** Broker time, milliseconds since 1970. */
  readonly at: number
  readonly deliveryCount: number
  /** When the broker stored the event, milliseconds since 1970. */
  readonly storedAt: number
  /** Version of the model that ran, or would have. */
  readonly modelVersion?: string
  readonly inputDigest: string
  /** Trace context of the process that made the outcome, instead of the event's own. */
  readonly traceparent?: string
}

/** The facts about a prediction that its headers tell. */
export interface PredictionFacts {
  readonly modelVersion: string
  readonly contentType: string
  readonly inferenceHeaderLength: number | undefined
  /** From being stored to being started, milliseconds. */
  readonly queueMs: number
  readonly inferenceMs: number
  readonly batchRows: number
}

/** A message to publish: subject, headers in order, body. */
export interface OutgoingMessage {
  readonly subject: string
  readonly headers: readonly HeaderEntry[]
  readonly body: Uint8Array
}

const utf8 = new TextEncoder()

/** Failures kept in a dead letter's history, newest last. */
const HISTORY_LENGTH = 8

/** Header bytes a copy of an event may use; what is beyond is cut from the event's own headers. */
export const MAX_HEADER_BYTES = 12 * 1024

/**
 * The whole event, with why it was given up: everything needed to understand and to replay it.
 *
 * @param subject where the event was delivered
 */
export function deadLetterMessage(
  event: FeatureEvent,
  subject: string,
  failure: Failure,
  made: Provenance,
): OutgoingMessage {
  const own: HeaderEntry[] = [
    [HEADERS.contract, CONTRACT_VERSION],
    [HEADERS.token, event.token],
    [HEADERS.origin, writeOrigin(event.origin)],
    [HEADERS.deadLetterReason, failure.reason],
    [HEADERS.deadLetterDescription, sanitizeHeaderValue(failure.description)],
    [HEADERS.stage, failure.stage],
    [
      HEADERS.originalSubject,
      sanitizeHeaderValue(subject.startsWith('due.') ? subjects.feature(event.route) : subject),
    ],
    [HEADERS.originalStream, event.origin.stream],
    [HEADERS.originalSequence, String(event.origin.sequence)],
    [HEADERS.failedAt, new Date(made.at).toISOString()],
    [HEADERS.firstSeen, firstSeen(event, made)],
    [HEADERS.deliveryCount, String(made.deliveryCount)],
    [HEADERS.attempt, String(event.attempt)],
    [HEADERS.worker, made.worker],
    [HEADERS.inputDigest, made.inputDigest],
    [HEADERS.history, extendHistory(event, failure, made)],
  ]
  // `Pelton-Model-Version` stays what the producer asked for: a replay asks for it again.
  if (made.modelVersion !== undefined) own.push([HEADERS.failedVersion, made.modelVersion])
  return {
    subject: subjects.deadLetter(event.route.model, event.token),
    headers: withinBytes([...own, ...carriedHeaders(event, own)], MAX_HEADER_BYTES),
    body: event.body,
  }
}

/** A copy of the event for the retry lane: its own headers, its identity, the next attempt. */
export function retryMessage(
  event: FeatureEvent,
  failure: Failure,
  made: Provenance,
  dueAt: number,
): OutgoingMessage {
  const own: HeaderEntry[] = [
    [HEADERS.schedule, `@at ${new Date(dueAt).toISOString()}`],
    [HEADERS.scheduleTarget, subjects.due(event.route, event.token)],
    [HEADERS.token, event.token],
    [HEADERS.origin, writeOrigin(event.origin)],
    [HEADERS.attempt, String(event.attempt + 1)],
    [HEADERS.firstSeen, firstSeen(event, made)],
    [HEADERS.history, extendHistory(event, failure, made)],
  ]
  return {
    subject: subjects.retry(event.route, event.token),
    headers: withinBytes([...own, ...carriedHeaders(event, own)], MAX_HEADER_BYTES),
    body: event.body,
  }
}

/**
 * The event's own headers for a copy, without the broker's and without those the copy sets itself. Those that say
 * what the event is stand first: they are the last to be cut.
 */
export function carriedHeaders(event: FeatureEvent, own: readonly HeaderEntry[]): HeaderEntry[] {
  const set = new Set(own.map(([name]) => name.toLowerCase()))
  const carried: HeaderEntry[] = []
  for (const [name, value] of event.headers) {
    if (name.startsWith('nats-') || set.has(name) || OF_PARKING.has(name)) continue
    if (!isHeaderName(name) || value === '') continue
    carried.push([name, sanitizeHeaderValue(value, 4096)])
  }
  // Identity must survive even where it came from a header that is not copied (Nats-Msg-Id) or from the position.
  for (const part of ['id', 'source'] as const) {
    if (!event.headers.get(HEADERS[part])) carried.push([HEADERS[part], encodeAttribute(event[part])])
  }
  return [
    ...carried.filter(([name]) => NEEDED_TO_READ.has(name)),
    ...carried.filter(([name]) => !NEEDED_TO_READ.has(name)),
  ]
}

/** What only a parked copy says, of its own time in the retry lane. */
const OF_PARKING: ReadonlySet<string> = new Set(
  [HEADERS.parkedSince, HEADERS.returns].map((name) => name.toLowerCase()),
)

/** Headers without which a copy would be another event. */
const NEEDED_TO_READ: ReadonlySet<string> = new Set(
  [
    HEADERS.specVersion,
    HEADERS.id,
    HEADERS.source,
    HEADERS.type,
    HEADERS.dataContentType,
    HEADERS.contentType,
    HEADERS.inferenceHeaderLength,
    HEADERS.expiryTime,
    HEADERS.contract,
    HEADERS.modelVersion,
    HEADERS.supersedes,
    HEADERS.replay,
    HEADERS.replayedLetter,
    HEADERS.replyTo,
    HEADERS.originalDigest,
  ].map((name) => name.toLowerCase()),
)

/** When the event was first stored: a copy carries it from the original. */
export function firstSeen(event: FeatureEvent, made: Pick<Provenance, 'storedAt'>): string {
  const carried = Date.parse(readHeader(event.headers, HEADERS.firstSeen) ?? '')
  return new Date(Number.isNaN(carried) ? made.storedAt : carried).toISOString()
}

/** `<time> <reason> attempt=<n>`, then what is known of ` version=<version that ran>` and ` replay=<task>`. */
function extendHistory(event: FeatureEvent, { reason }: Failure, made: Provenance): string {
  const facts = { version: made.modelVersion, replay: readHeader(event.headers, HEADERS.replay) }
  const known = Object.entries(facts).flatMap(([name, value]) =>
    value === undefined || !/^[\w.:-]{1,32}$/.test(value) ? [] : [` ${name}=${value}`],
  )
  const latest = `${new Date(made.at).toISOString()} ${reason} attempt=${event.attempt}${known.join('')}`
  return [...readHistory(event), latest].slice(-HISTORY_LENGTH).join('; ')
}

/** Earlier failures as they stand in the event, bounded: any producer can send such a header. */
function readHistory(event: FeatureEvent): string[] {
  const history = readHeader(event.headers, HEADERS.history)?.split('; ') ?? []
  return history.slice(-HISTORY_LENGTH).map((entry) => sanitizeHeaderValue(entry, 160))
}

/** The entries that fit, in order: own headers stand first, so the event's are cut before them. */
export function withinBytes(entries: readonly HeaderEntry[], maxBytes: number): HeaderEntry[] {
  let used = 0
  return entries.filter(([name, value]) => {
    const size = name.length + Buffer.byteLength(value) + 4
    if (used + size > maxBytes) return false
    used += size
    return true
  })
}

/**
 * Says that an operator removed a dead letter. A worker that is handed its event once more (a lost acknowledgement)
 * finds the failure notice without its dead letter, and must not make it anew.
 *
 * @param failedAt `x-failed-at` of the dead letter: a later failure of the event is another
 */
export function removalMark(token: string, failedAt: string): OutgoingMessage {
  return { subject: removalMarkSubject(token), headers: [], body: utf8.encode(failedAt) }
}

/** In the bucket of the start marks: it expires when no delivery can be left. */
export function removalMarkSubject(token: string): string {
  return subjects.startMark(`removed.${token}`)
}
