import { PeltonError, showValue } from '../errors.ts'
import { decodeAttribute, encodeAttribute, HEADERS, type Headers, readHeader } from './headers.ts'
import { unwrapStructured } from './structured.ts'
import { type Route, readRoute } from './subjects.ts'
import { eventToken, isToken } from './token.ts'
import { STREAMS } from './topology.ts'

/** The version of the wire contract this code speaks: `major.minor`. */
export const CONTRACT_VERSION = '1.0'

/** Where an event was first stored. */
export interface Origin {
  readonly stream: string
  /** Creation time of that stream: sequences start again when a stream is made anew. */
  readonly epoch: string
  readonly sequence: number
}

/** Characters an event's id and source may have each, percent-encoded: both stand in headers of every outcome. */
export const MAX_IDENTITY_LENGTH = 1024

/** A message as it lies in FEATURES or RETRIES. */
export interface StoredMessage {
  readonly subject: string
  readonly headers: Headers
  readonly body: Uint8Array
  readonly stream: string
  readonly epoch: string
  readonly sequence: number
}

/** A feature event as read from the wire. Reading never fails: what is wrong with it stands in `problem`. */
export interface FeatureEvent {
  readonly token: string
  readonly id: string
  readonly source: string
  readonly route: Route
  readonly origin: Origin
  /** How often Pelton has started to predict it, this time included. From 1. */
  readonly attempt: number
  readonly contentType: string | undefined
  readonly inferenceHeaderLength: string | undefined
  readonly body: Uint8Array
  /** Deadline in milliseconds since 1970, by the broker's clock. */
  readonly expiresAt: number | undefined
  readonly modelVersion: string | undefined
  readonly replyTo: string | undefined
  /** Sequence of the failure notice this event may replace; 0 for an event that was never answered. */
  readonly supersedes: number
  readonly headers: Headers
  /** Why the event cannot be predicted whatever its body says. */
  readonly problem: PeltonError | undefined
}

/**
 * Reads a stored message as an event: CloudEvents in binary or structured mode, or a plain message with or without
 * a `Nats-Msg-Id`. Identity is computed once: a copy Pelton made carries `Pelton-Token` and `Pelton-Origin`.
 */
export function readEvent(message: StoredMessage): FeatureEvent {
  const problems: PeltonError[] = []
  const route = readRoute(message.subject) ?? { pool: '', model: message.subject, lane: 'normal' }
  const { headers, body, problem } = unwrapStructured(message.headers, message.body)
  if (problem !== undefined) problems.push(problem)
  const header = (name: string): string | undefined => {
    const raw = readHeader(headers, name)
    const value = raw === undefined ? undefined : decodeAttribute(raw)
    if (raw !== undefined && value === undefined) problems.push(undecodable(name, raw))
    return value
  }
  const identity = identify(message, header)
  checkIdentity(identity, problems)
  const event: Omit<FeatureEvent, 'problem'> = {
    ...identity,
    token: readCarriedToken(message) ?? eventToken(route.model, identity.source, identity.id),
    route,
    origin: readOrigin(message) ?? {
      stream: message.stream,
      epoch: message.epoch,
      sequence: message.sequence,
    },
    attempt: readCount(headers, HEADERS.attempt, 1, problems),
    contentType: header(HEADERS.dataContentType),
    inferenceHeaderLength: readHeader(headers, HEADERS.inferenceHeaderLength),
    body,
    expiresAt: readDeadline(header(HEADERS.expiryTime), problems),
    modelVersion: readHeader(headers, HEADERS.modelVersion),
    replyTo: readHeader(headers, HEADERS.replyTo),
    supersedes: readCount(headers, HEADERS.supersedes, 0, problems),
    headers,
  }
  checkContract(headers, problems)
  return { ...event, problem: problems[0] }
}

type ReadAttribute = (name: string) => string | undefined

function identify(
  message: StoredMessage,
  header: ReadAttribute,
): { readonly id: string; readonly source: string } {
  // Empty is absent: events that share an empty id would else pass for one, and all but the first be lost.
  const id = header(HEADERS.id) || readHeader(message.headers, HEADERS.messageId)
  if (!id) return { id: `${message.epoch}/${message.sequence}`, source: `nats:${message.stream}` }
  return { id, source: header(HEADERS.source) || 'unknown' }
}

function checkIdentity(
  identity: { readonly id: string; readonly source: string },
  problems: PeltonError[],
): void {
  for (const part of ['id', 'source'] as const) {
    const { length } = encodeAttribute(identity[part])
    // A line break would let two pairs of source and id share a token.
    if (length <= MAX_IDENTITY_LENGTH && !/\p{Cc}/u.test(identity[part])) continue
    problems.push(
      new PeltonError(
        'malformed',
        `the ${part} of an event is too long (${length} characters, percent-encoded) or has control characters`,
        {
          field: HEADERS[part],
          value: showValue(identity[part]),
          remedy: `Use at most ${MAX_IDENTITY_LENGTH} printable characters.`,
        },
      ),
    )
  }
}

/**
 * A copy in the retry lane carries the identity that was computed for the original: only workers may publish there. A
 * producer's event gets the token of its own id, whatever its headers say.
 */
function readCarriedToken(message: StoredMessage): string | undefined {
  if (message.stream !== STREAMS.retries) return undefined
  const token = readHeader(message.headers, HEADERS.token)
  return token !== undefined && isToken(token) && readOrigin(message) !== undefined ? token : undefined
}

/** Printable and bounded, because it is copied into the headers of outcomes and any producer can send one. */
const ORIGIN = /^([!-~]{1,255}) ([!-~]{1,64}) (\d{1,16})$/

/** `<stream> <epoch> <sequence>`, as {@link writeOrigin} writes it. */
function readOrigin(message: StoredMessage): Origin | undefined {
  const [, stream, epoch, sequence] = ORIGIN.exec(readHeader(message.headers, HEADERS.origin) ?? '') ?? []
  if (stream === undefined || epoch === undefined || !Number.isSafeInteger(Number(sequence))) return undefined
  return { stream, epoch, sequence: Number(sequence) }
}

export function writeOrigin({ stream, epoch, sequence }: Origin): string {
  return `${stream} ${epoch} ${sequence}`
}

function readCount(headers: Headers, name: string, fallback: number, problems: PeltonError[]): number {
  const text = readHeader(headers, name)
  if (text === undefined) return fallback
  if (/^\d{1,15}$/.test(text) && Number(text) >= fallback) return Number(text)
  problems.push(
    new PeltonError('malformed', 'a header must be a whole number', {
      field: name,
      value: showValue(text),
      remedy: `Send ${fallback} or more, or leave it out.`,
    }),
  )
  return fallback
}

const RFC_3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/

function readDeadline(text: string | undefined, problems: PeltonError[]): number | undefined {
  if (text === undefined) return undefined
  const time = RFC_3339.test(text) ? Date.parse(text.toUpperCase()) : Number.NaN
  if (!Number.isNaN(time)) return time
  problems.push(
    new PeltonError('malformed', 'the deadline of an event must be an RFC 3339 time', {
      field: HEADERS.expiryTime,
      value: showValue(text),
      remedy: 'Send for example 2026-01-31T12:00:00Z.',
    }),
  )
  return undefined
}

function checkContract(headers: Headers, problems: PeltonError[]): void {
  const version = readHeader(headers, HEADERS.contract)
  if (version === undefined || /^1(?:\.\d+)?$/.test(version)) return
  problems.push(
    new PeltonError('malformed', 'this version of the wire contract is not spoken here', {
      field: HEADERS.contract,
      value: showValue(version),
      remedy: `Send version ${CONTRACT_VERSION}, or upgrade the workers first.`,
    }),
  )
}

function undecodable(name: string, value: string): PeltonError {
  return new PeltonError('malformed', 'a header is not percent-encoded UTF-8', {
    field: name,
    value: showValue(value),
    remedy: 'Percent-encode %, quotes, spaces and everything outside ASCII (CloudEvents NATS binding).',
  })
}
