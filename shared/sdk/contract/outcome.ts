import { type PeltonError, REASONS, type Reason } from '../errors.ts'
import { CONTRACT_VERSION, type FeatureEvent, MAX_IDENTITY_LENGTH, writeOrigin } from './event.ts'
import {
  encodeAttribute,
  HEADERS,
  type HeaderEntry,
  isHeaderName,
  readHeader,
  sanitizeHeaderValue,
} from './headers.ts'
import { subjects } from './subjects.ts'
import { isToken } from './token.ts'

/** Where in the life of an event it failed; `batch` is while it waited for its run. */
export type Stage = 'guard' | 'decode' | 'validate' | 'batch' | 'infer' | 'publish'

/** Why an event is given up: the error's code is one of the closed set of reasons. */
export interface Failure {
  readonly reason: Reason
  readonly description: string
  readonly stage: Stage
}

export function failureOf(error: PeltonError, reason: Reason, stage: Stage): Failure {
  return { reason, description: error.description, stage }
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

/**
 * An outcome on its way into the register of its event. Its header block is made from its lines when it is sent: with what
 * the broker has to look at before ({@link encodeLines}).
 */
export interface OutcomeMessage {
  readonly subject: string
  /** Header lines, each with its end. */
  readonly lines: string
  readonly body: Uint8Array
}

/** What a header line begins with, behind the end of the one before. */
const LINE = Object.fromEntries(
  Object.entries(HEADERS).map(([key, name]) => [key, `\r\n${name}: `]),
) as Readonly<Record<keyof typeof HEADERS, string>>

const FIRST_LINE = 'NATS/1.0\r\n'

/**
 * The header block of an outcome.
 *
 * @param before lines that only the broker reads, each with its end
 */
export function encodeLines({ lines }: Pick<OutcomeMessage, 'lines'>, before = ''): Buffer {
  return Buffer.from(`${FIRST_LINE}${before}${lines}\r\n`)
}

/** The prediction of an event, addressed to the event's register. */
export function predictionMessage(
  event: FeatureEvent,
  facts: PredictionFacts,
  made: Provenance,
  body: Uint8Array,
): OutcomeMessage {
  const { model } = event.route
  return {
    subject: subjects.result(model, event.token),
    lines: `${modelLines(model, facts, made)}${runLines(facts, made)}${eventLines(event, made)}${LINE.queueMs}${facts.queueMs.toFixed(1)}\r\n`,
    body,
  }
}

/** What all predictions of a model by a worker say, as long as they have the same form; the last that was made. */
let ofModel = { model: '', version: '', type: '', worker: '', lines: '' }

function modelLines(
  model: string,
  { modelVersion, contentType }: PredictionFacts,
  { worker }: Provenance,
): string {
  const { model: name, version, type } = ofModel
  if (name !== model || version !== modelVersion || type !== contentType || worker !== ofModel.worker) {
    const form = `${LINE.type}pelton.prediction${LINE.dataContentType}${contentType}${LINE.modelVersion}${modelVersion}`
    const lines = inOnePiece(`${sharedLines(model, worker, 'prediction')}${form}`)
    ofModel = { model, version: modelVersion, type: contentType, worker, lines }
  }
  return ofModel.lines
}

/** What the predictions of one run say; the last that was made. */
let ofRun = { at: Number.NaN, inferenceMs: Number.NaN, rows: 0, sections: -1, lines: '' }

function runLines(
  { inferenceMs, batchRows, inferenceHeaderLength = -1 }: PredictionFacts,
  made: Provenance,
): string {
  const at = Math.trunc(made.at)
  const { rows, sections } = ofRun
  if (
    at !== ofRun.at ||
    inferenceMs !== ofRun.inferenceMs ||
    rows !== batchRows ||
    sections !== inferenceHeaderLength
  ) {
    const cut = inferenceHeaderLength < 0 ? '' : LINE.inferenceHeaderLength + inferenceHeaderLength
    const ran = `${LINE.inferenceMs}${inferenceMs.toFixed(2)}${LINE.batchRows}${batchRows}${cut}`
    const lines = inOnePiece(`${LINE.time}${new Date(at).toISOString()}${ran}`)
    ofRun = { at, inferenceMs, rows: batchRows, sections: inferenceHeaderLength, lines }
  }
  return ofRun.lines
}

/** V8 keeps a text it has joined in its pieces, and goes over all of them each time it is written. */
function inOnePiece(text: string): string {
  return Buffer.from(text).toString()
}

/** The small answer in the register of an event that became a dead letter: an RFC 9457 problem body. */
export function failureNotice(event: FeatureEvent, failure: Failure, made: Provenance): OutcomeMessage {
  const { status, summary } = REASONS[failure.reason]
  const problem = {
    type: `https://pelton.dev/problems/${failure.reason}`,
    title: summary,
    status,
    detail: failure.description,
    reason: failure.reason,
    stage: failure.stage,
    id: bounded(event.id),
    source: bounded(event.source),
    error: failure.description,
  }
  const form = `${LINE.type}pelton.failure${LINE.dataContentType}application/problem+json`
  const when = `${LINE.time}${new Date(made.at).toISOString()}`
  const why = `${LINE.deadLetterReason}${failure.reason}${LINE.deadLetterDescription}${sanitizeHeaderValue(failure.description)}`
  return {
    subject: subjects.result(event.route.model, event.token),
    lines: `${sharedLines(event.route.model, made.worker, 'dead-letter')}${eventLines(event, made)}${when}${form}${why}${LINE.stage}${failure.stage}\r\n`,
    body: utf8.encode(JSON.stringify(problem)),
  }
}

/** What all outcomes of a model by a worker say. The first line of all has no other before it. */
function sharedLines(model: string, worker: string, outcome: 'prediction' | 'dead-letter'): string {
  const versions = `${LINE.contract}${CONTRACT_VERSION}${LINE.specVersion}1.0`.slice('\r\n'.length)
  return `${versions}${LINE.source}${sourceOfModel(model)}${LINE.outcome}${outcome}${LINE.worker}${worker}`
}

/** What an outcome says of its event. */
function eventLines(event: FeatureEvent, made: Provenance): string {
  const { token, origin, attempt } = event
  const id = encodeAttribute(bounded(event.id))
  const ids = `${LINE.id}${token}-${origin.sequence}${LINE.correlationId}${id}${LINE.causationId}${id}${LINE.token}${token}`
  return `${ids}${LINE.origin}${writeOrigin(origin)}${LINE.attempt}${attempt}${LINE.inputDigest}${made.inputDigest}${carriedLines(event, made)}`
}

/** What few events have: the digest of before an edit, and their place in a trace. */
function carriedLines(event: FeatureEvent, made: Provenance): string {
  let lines = ''
  const original = readHeader(event.headers, HEADERS.originalDigest)
  if (original !== undefined && isToken(original)) lines += LINE.originalDigest + original
  const traceparent = made.traceparent || readHeader(event.headers, HEADERS.traceparent)
  if (traceparent !== undefined) lines += LINE.traceparent + sanitizeHeaderValue(traceparent)
  const tracestate = readHeader(event.headers, HEADERS.tracestate)
  if (tracestate !== undefined) lines += LINE.tracestate + sanitizeHeaderValue(tracestate)
  return lines
}

/** What begins the `ce-source` of every outcome. */
export const MODEL_SOURCE = '/pelton/models/'

/** The `ce-source` of the outcomes of a model. */
export function sourceOfModel(model: string): string {
  return encodeAttribute(`${MODEL_SOURCE}${bounded(model)}`)
}

/** Characters that percent-encoding makes of one UTF-16 unit at most. */
const MOST_PER_UNIT = 9

/** An id or source beyond its limit makes its event malformed: what is said about it must still fit a header. */
function bounded(text: string): string {
  if (text.length <= MAX_IDENTITY_LENGTH / MOST_PER_UNIT) return text
  const isShort = text.length <= MAX_IDENTITY_LENGTH && encodeAttribute(text).length <= MAX_IDENTITY_LENGTH
  return isShort ? text : `${text.slice(0, 100)}…`
}

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
