import { REASONS } from '../errors.ts'
import { CONTRACT_VERSION, type FeatureEvent, MAX_IDENTITY_LENGTH, writeOrigin } from './event.ts'
import { encodeAttribute, FIRST_LINE, HEADERS, readHeader, sanitizeHeaderValue } from './headers.ts'
import type { Failure, PredictionFacts, Provenance } from './outcome.ts'
import { subjects } from './subjects.ts'
import { isToken } from './token.ts'

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
    ...failure.details,
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
