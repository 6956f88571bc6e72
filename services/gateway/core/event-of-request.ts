import { HEADERS, type HeaderEntry } from '../../../shared/sdk/contract/headers.ts'
import { readRfc3339 } from '../../../shared/sdk/contract/rfc3339.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import {
  checkIdentity,
  type EventMessage,
  type EventOrigin,
  type EventToPublish,
  eventMessage,
} from '../../../shared/sdk/event-message.ts'
import type { Caller, InferenceRequest, Wanted } from './request.ts'

/** The longest that a request may wait, milliseconds. */
export const LONGEST_TIMEOUT_MS = 3_600_000

/** The lane a request goes to, and the one it asked for where that is higher than its caller's highest. */
export function laneOf(
  { highestLane }: Pick<Caller, 'highestLane'>,
  asked: Lane,
): { readonly lane: Lane; readonly loweredFrom: Lane | undefined } {
  if (LANES.indexOf(asked) >= LANES.indexOf(highestLane)) return { lane: asked, loweredFrom: undefined }
  return { lane: highestLane, loweredFrom: asked }
}

/** When a request gives up. */
export interface Deadline {
  /** How long from now, milliseconds; 0 for what is over. Undefined for none. */
  readonly leftMs: number | undefined
  /** As its event carries it. */
  readonly expiresAt: Date | string | undefined
}

/**
 * The deadline of a request: the earlier of its timeout and the time it gives itself. One that nobody waits for has none
 * unless it asks for one.
 *
 * @param now milliseconds since 1970, by the clock that deadlines go by: that of the broker
 * @throws PeltonError `invalid-argument`
 */
export function deadlineOf(
  { timeoutMs, attributes }: Pick<InferenceRequest, 'timeoutMs' | 'attributes'>,
  { mode }: Wanted,
  defaultTimeoutMs: number,
  now: number,
): Deadline {
  if (timeoutMs !== undefined) checkTimeout(timeoutMs)
  const ownMs = timeoutMs ?? (mode === 'sync' ? defaultTimeoutMs : undefined)
  const given = attributes?.expiresAt
  const givenMs = given === undefined ? undefined : timeOf(given) - now
  if (givenMs !== undefined && (ownMs === undefined || givenMs <= ownMs))
    return { leftMs: Math.max(0, givenMs), expiresAt: given }
  return { leftMs: ownMs, expiresAt: ownMs === undefined ? undefined : new Date(now + ownMs) }
}

/** How long an asynchronous request waits at most. @throws PeltonError `invalid-argument` */
export function waitMsOf(waitMs: number): number {
  if (waitMs >= 0) return Math.min(waitMs, LONGEST_TIMEOUT_MS)
  throw unusable('waitMs', waitMs, 'Give a number of milliseconds, 0 or more.')
}

function checkTimeout(timeoutMs: number): void {
  if (timeoutMs > 0 && timeoutMs <= LONGEST_TIMEOUT_MS) return
  throw unusable(
    'timeout',
    `${timeoutMs} ms`,
    `Give more than 0 and at most ${LONGEST_TIMEOUT_MS} ms, an hour.`,
  )
}

function timeOf(text: string): number {
  const at = readRfc3339(text)
  if (at !== undefined) return at
  throw unusable('expiresAt', text, 'Send RFC 3339 text such as 2026-01-31T12:00:00Z.')
}

function unusable(field: string, value: unknown, remedy: string): PeltonError {
  return new PeltonError('invalid-argument', `the ${field} cannot be used`, {
    field,
    value: showValue(value),
    remedy,
  })
}

/** What the source of a caller with a key begins with. */
const OF_KEYS = 'key/'

/**
 * Source of the event of a request: the caller's; its own only where no key is needed.
 *
 * @throws PeltonError `invalid-argument` for the source of a key without the key: its answers would be those of another
 */
export function sourceOf({ caller, attributes }: Pick<InferenceRequest, 'caller' | 'attributes'>): string {
  if (caller.keyId !== undefined) return caller.source
  const source = attributes?.source ?? caller.source
  if (!source.startsWith(OF_KEYS)) return source
  throw unusable('source', source, `Use one that does not begin with ${OF_KEYS}: those are of API keys.`)
}

/** What the gateway decides of an event. */
export interface Decided {
  readonly id: string
  readonly lane: Lane
  readonly expiresAt: Date | string | undefined
  readonly replyTo: string
}

/** Written field by field: there is one for each request, and most have few. */
type Written = { -readonly [Field in keyof EventToPublish]: EventToPublish[Field] }

/** The event of a request, before its attributes beyond those of the contract. */
export function eventOf(
  request: InferenceRequest,
  { id, lane, expiresAt, replyTo }: Decided,
): EventToPublish {
  const { model, modelVersion, data, contentType, inferenceHeaderLength, traceparent, tracestate } = request
  const event: Written = { model, id, lane, data, contentType, replyTo }
  if (inferenceHeaderLength !== undefined) event.inferenceHeaderLength = inferenceHeaderLength
  if (expiresAt !== undefined) event.expiresAt = expiresAt
  if (modelVersion !== undefined) event.modelVersion = modelVersion
  if (traceparent !== undefined) event.traceparent = traceparent
  if (tracestate !== undefined) event.tracestate = tracestate
  if (request.attributes !== undefined) describe(event, request.attributes)
  return event
}

function describe(event: Written, attributes: NonNullable<InferenceRequest['attributes']>): void {
  const { type, time, subject } = attributes
  if (type !== undefined) event.type = type
  if (time !== undefined) event.time = time
  if (subject !== undefined) event.subject = subject
}

/** An event as a message, with the further attributes of its caller. @throws PeltonError `invalid-argument` */
export function messageOfEvent(
  event: EventToPublish,
  origin: EventOrigin,
  extensions: readonly HeaderEntry[] = [],
): EventMessage {
  checkIdentity('source', origin.source)
  const message = eventMessage(event, origin)
  if (extensions.length === 0) return message
  let { sizeBytes } = message
  for (const extension of extensions) {
    checkExtension(extension)
    sizeBytes += extension[0].length + extension[1].length + 4
  }
  return { ...message, headers: [...message.headers, ...extensions], sizeBytes }
}

/** Attributes that the gateway writes, or that would say what the caller did not mean to say. */
const OWN: ReadonlySet<string> = new Set([
  ...[HEADERS.specVersion, HEADERS.id, HEADERS.source, HEADERS.type, HEADERS.time, HEADERS.subject],
  ...[HEADERS.dataContentType, HEADERS.expiryTime],
])
const NAME = /^ce-[a-z0-9]{1,64}$/
const VALUE = /^[!-~](?:[ -~]*[!-~])?$/

/** A header of another name could be one that the broker or a worker acts on. */
function checkExtension([name, value]: HeaderEntry): void {
  if (!NAME.test(name) || OWN.has(name))
    throw unusable('extension', name, 'Name an extension with 1 to 64 letters a to z and digits.')
  if (!VALUE.test(value))
    throw unusable(name, value, 'Send printable ASCII, percent-encoded where it is not.')
}
