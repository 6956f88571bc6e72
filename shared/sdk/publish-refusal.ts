import { PeltonError, showValue } from './errors.ts'
import type { EventMessage } from './event-message.ts'
import { API_ERRORS, isFull, type NotStored, publishError } from './jetstream/publish-reply.ts'

/** FEATURES, as its broker has it. */
export interface PublishedTo {
  readonly stream: string
  /** Its configuration; empty where this user may not ask. */
  readonly limits: Readonly<Record<string, unknown>>
}

/** Why an event is not stored, for whoever published it. */
export function publishRefusal(message: EventMessage, reply: NotStored, to: PublishedTo): PeltonError {
  if (isFull(reply)) return streamFull(reply, to)
  if (reply.kind === 'unknown' || canPass(reply)) return unknownFate(message, reply.description)
  if (reply.code === API_ERRORS.tooLarge) {
    const remedy = 'Send fewer rows, or run `pelton provision` after raising max_payload.'
    const details = { field: 'max_msg_size', value: `${message.sizeBytes} bytes`, remedy }
    return new PeltonError('too-large', `${to.stream} refuses the event: ${reply.description}`, details)
  }
  return publishError(to.stream, reply)
}

function streamFull({ description }: NotStored, { stream, limits }: PublishedTo): PeltonError {
  const field = /per subject/.test(description)
    ? 'max_msgs_per_subject'
    : /bytes/.test(description)
      ? 'max_bytes'
      : 'max_msgs'
  return new PeltonError('stream-full', `${stream} is full and refuses the event: ${description}`, {
    field,
    value: showValue(limits[field]),
    remedy: 'Nothing was stored. Slow down and publish again later, or add workers.',
  })
}

/** Whether the same publish may succeed later: no word, an election, an earlier try in flight, a full stream. */
export function canPass(reply: NotStored): boolean {
  if (reply.kind === 'unknown') return true
  if (reply.code === API_ERRORS.inFlight || reply.code === API_ERRORS.duplicateInFlight) return true
  return reply.status === 503 || reply.status === 429
}

/** Nobody says whether an event is stored. */
export function unknownFate({ id, token }: EventMessage, why: string): PeltonError {
  return new PeltonError('broker-unavailable', `it is unknown whether the event is stored: ${why}`, {
    field: 'id',
    value: `${showValue(id)}, token ${token}`,
    remedy: 'Publish it again with the same id: what is stored is absorbed.',
  })
}

/** An event larger than the broker takes. @param most bytes that are taken of `maxPayload` */
export function tooLarge(event: EventMessage, most: number, maxPayload: number): PeltonError {
  const { sizeBytes, headers, body } = event
  const parts = `${body.length} of body and ${sizeBytes - body.length} of ${headers.length} headers`
  return new PeltonError(
    'too-large',
    `the event has ${sizeBytes} bytes (${parts}), at most ${most} are taken`,
    {
      field: 'event',
      value: `${sizeBytes} bytes`,
      remedy: `Send fewer rows, or raise the broker's max_payload (${maxPayload}) and run \`pelton provision\`.`,
    },
  )
}
