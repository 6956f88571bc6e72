import { type FeatureEvent, writeOrigin } from './event.ts'
import { HEADERS, type HeaderEntry, readHeader } from './headers.ts'
import { carriedHeaders, firstSeen, MAX_HEADER_BYTES, type OutgoingMessage, withinBytes } from './outcome.ts'
import { subjects } from './subjects.ts'

/** What a parked copy says beside its event. Times by the broker's clock, milliseconds since 1970. */
export interface Parking {
  /** When the copy comes due, to be looked at again. */
  readonly dueAt: number
  /** When the event was parked first. */
  readonly since: number
  /** How often the event was handed out again for a reason nobody knows: what makes it a suspect. */
  readonly returns: number
  /** When the broker stored what is parked. */
  readonly storedAt: number
}

/**
 * A copy of an event that waits in the retry lane for its model: it is no retry, so its attempt and its history are those
 * of the event. Its subject is that of the event's token: a copy that comes due and is parked again takes its own place.
 */
export function parkedMessage(event: FeatureEvent, parking: Parking): OutgoingMessage {
  const own: HeaderEntry[] = [
    [HEADERS.schedule, `@at ${new Date(parking.dueAt).toISOString()}`],
    [HEADERS.scheduleTarget, subjects.due(event.route, event.token)],
    [HEADERS.token, event.token],
    [HEADERS.origin, writeOrigin(event.origin)],
    [HEADERS.attempt, String(event.attempt)],
    [HEADERS.firstSeen, firstSeen(event, parking)],
    [HEADERS.parkedSince, new Date(parking.since).toISOString()],
    [HEADERS.returns, String(parking.returns)],
  ]
  return {
    subject: subjects.retry(event.route, event.token),
    headers: withinBytes([...own, ...carriedHeaders(event, own)], MAX_HEADER_BYTES),
    body: event.body,
  }
}

/** What a copy that came due says of its parking; nothing for an event that was not parked. */
export function readParking({ headers }: Pick<FeatureEvent, 'headers'>): {
  readonly since?: number
  readonly returns: number
} {
  const since = Date.parse(readHeader(headers, HEADERS.parkedSince) ?? '')
  const returns = readHeader(headers, HEADERS.returns) ?? ''
  return {
    ...(!Number.isNaN(since) && { since }),
    returns: /^\d{1,9}$/.test(returns) ? Number(returns) : 0,
  }
}
