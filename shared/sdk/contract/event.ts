import { PeltonError, showValue } from '../errors.ts'
import { decodeAttribute, encodeAttribute, HEADERS, type Headers, readHeader } from './headers.ts'
import { readRfc3339 } from './rfc3339.ts'
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
  /** Which attempt this is: 1, and one more for each retry. Deliveries are not attempts. */
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
  const attempt = readCount(headers, HEADERS.attempt, 1, problems)
  const contentType = header(HEADERS.dataContentType)
  const expiresAt = readDeadline(header(HEADERS.expiryTime), problems)
  const supersedes = readCount(headers, HEADERS.supersedes, 0, problems)
  checkVersions(headers, problems)
  checkAttributes(headers, problems)
  return {
    id: identity.id,
    source: identity.source,
    token: readCarriedToken(message) ?? eventToken(route.model, identity.source, identity.id),
    route,
    origin: readOrigin(message) ?? {
      stream: message.stream,
      epoch: message.epoch,
      sequence: message.sequence,
    },
    attempt,
    contentType,
    inferenceHeaderLength: readHeader(headers, HEADERS.inferenceHeaderLength),
    body,
    expiresAt,
    modelVersion: readHeader(headers, HEADERS.modelVersion),
    replyTo: readHeader(headers, HEADERS.replyTo),
    supersedes,
    headers,
    problem: problems[0],
  }
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
    const fault = faultOf(identity[part])
    if (fault === undefined) continue
    const [description, remedy] = fault
    const details = { field: HEADERS[part], value: showValue(identity[part]), remedy }
    problems.push(new PeltonError('malformed', `the ${part} of an event ${description}`, details))
  }
}

/** A line break would let two pairs of source and id share a token; the SDK refuses the same characters. */
const BREAKS = /[\p{Cc}\p{Zl}\p{Zp}]/u

/** An id, source or name that needs no further look, as nearly all need none. */
export const PLAIN_IDENTITY = new RegExp(`^[!#$&-~]{1,${MAX_IDENTITY_LENGTH}}$`)

function faultOf(identity: string): readonly [description: string, remedy: string] | undefined {
  if (PLAIN_IDENTITY.test(identity)) return undefined
  const { length } = encodeAttribute(identity)
  if (length > MAX_IDENTITY_LENGTH)
    return [
      `is too long: ${length} characters, percent-encoded`,
      `Use at most ${MAX_IDENTITY_LENGTH} characters.`,
    ]
  if (BREAKS.test(identity)) return ['has control characters', 'Use printable characters.']
  return undefined
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
export function readOrigin(message: Pick<StoredMessage, 'headers'>): Origin | undefined {
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

function readDeadline(text: string | undefined, problems: PeltonError[]): number | undefined {
  if (text === undefined) return undefined
  const time = readRfc3339(text)
  if (time !== undefined) return time
  problems.push(
    new PeltonError('malformed', 'the deadline of an event must be an RFC 3339 time, on a day there is', {
      field: HEADERS.expiryTime,
      value: showValue(text),
      remedy: 'Send for example 2026-01-31T12:00:00Z.',
    }),
  )
  return undefined
}

/** Both versions go by their major; absent means 1. */
const VERSION = /^1(?:\.\d+)?$/

const VERSIONS = [
  [
    HEADERS.contract,
    'the wire contract is not spoken',
    `Send version ${CONTRACT_VERSION}, or upgrade the workers first.`,
  ],
  [HEADERS.specVersion, 'CloudEvents is not read', 'Send CloudEvents 1.0.'],
] as const

function checkVersions(headers: Headers, problems: PeltonError[]): void {
  for (const [field, what, remedy] of VERSIONS) {
    const version = readHeader(headers, field)
    if (version === undefined || version === CONTRACT_VERSION || VERSION.test(version)) continue
    const details = { field, value: showValue(version), remedy }
    problems.push(new PeltonError('malformed', `this version of ${what} here`, details))
  }
}

/** What is not read here is read by those the event is carried on to: the binding has each refused that is not encoded. */
function checkAttributes(headers: Headers, problems: PeltonError[]): void {
  for (const name of headers.keys()) {
    if (!name.startsWith('ce-') || READ_ATTRIBUTES.has(name)) continue
    const value = headers.get(name) as string // its own name
    if (decodeAttribute(value) === undefined) problems.push(undecodable(name, value))
  }
}

/** Told already where they are read. */
const READ_ATTRIBUTES: ReadonlySet<string> = new Set([
  HEADERS.id,
  HEADERS.source,
  HEADERS.dataContentType,
  HEADERS.expiryTime,
])

function undecodable(name: string, value: string): PeltonError {
  return new PeltonError('malformed', 'a header is not percent-encoded UTF-8', {
    field: name,
    value: showValue(value),
    remedy: 'Percent-encode %, quotes, spaces and everything outside ASCII (CloudEvents NATS binding).',
  })
}
