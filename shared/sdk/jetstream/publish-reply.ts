import { messageOf, PeltonError } from '../errors.ts'
import { type Frame, readStatus } from './frame.ts'
import { readStoredAnswer } from './stored-answer.ts'

/**
 * What became of a publish. `refused` is the stream's word: not stored. `unknown` is nobody's word: it may or may not
 * be stored, and only asking again with the same identity tells.
 */
export type PublishReply =
  | { readonly kind: 'stored'; readonly sequence: number; readonly duplicate: boolean }
  | { readonly kind: 'refused'; readonly code: number; readonly status: number; readonly description: string }
  | { readonly kind: 'unknown'; readonly description: string }

/** A reply that says that the event is not stored, or nothing. */
export type NotStored = Exclude<PublishReply, { kind: 'stored' }>

/** What is said of a publish that no stream takes: there is none, or nobody leads it now. */
export const NO_STREAM = 'no stream answers'

/** Error codes of the JetStream API that Pelton acts on. */
export const API_ERRORS = {
  wrongLastSequence: 10071,
  inFlight: 10164,
  duplicateInFlight: 10158,
  storeFailed: 10077,
  tooLarge: 10054,
} as const

/** What a stream answered to a publish. */
export function readReply(message: Frame): PublishReply {
  if (message.data.length === 0) {
    const status = readStatus(message)?.code ?? 0
    return { kind: 'unknown', description: status === 503 ? NO_STREAM : `status ${status}` }
  }
  const sequence = readStoredAnswer(message.data)
  if (sequence > 0) return { kind: 'stored', sequence, duplicate: false }
  try {
    return fromApi(JSON.parse(Buffer.from(message.data).toString()) as ApiReply)
  } catch {
    return { kind: 'unknown', description: 'the answer of the stream cannot be read' }
  }
}

interface ApiReply {
  readonly seq?: number
  readonly duplicate?: boolean
  readonly error?: { readonly code: number; readonly err_code: number; readonly description: string }
}

function fromApi({ seq, duplicate, error }: ApiReply): PublishReply {
  if (error !== undefined) {
    return { kind: 'refused', code: error.err_code, status: error.code, description: error.description }
  }
  // Not the answer of a stream: somebody else listens on the subject. Only a stream's word is `stored`.
  if (!Number.isSafeInteger(seq))
    return { kind: 'unknown', description: 'the answer is not that of a stream' }
  return { kind: 'stored', sequence: seq as number, duplicate: duplicate === true }
}

/** A publish the client would not send: larger than `max_payload` is certain, a closed connection is not. */
export function unsent(thrown: unknown): PublishReply {
  const description = messageOf(thrown)
  if (/max_payload|maximum payload/i.test(description)) {
    return { kind: 'refused', code: API_ERRORS.tooLarge, status: 400, description }
  }
  return { kind: 'unknown', description }
}

/** Whether a refusal says that a stream is at one of its limits (10077 is shared with real store failures). */
export function isFull(reply: PublishReply): boolean {
  return (
    reply.kind === 'refused' && reply.code === API_ERRORS.storeFailed && /exceeded/.test(reply.description)
  )
}

/** The error a publisher sees for a reply that is not `stored`. */
export function publishError(stream: string, reply: NotStored): PeltonError {
  if (reply.kind === 'unknown')
    return new PeltonError('broker-unavailable', `${stream} did not answer: ${reply.description}`)
  if (isFull(reply)) {
    return new PeltonError('stream-full', `${stream} is full: ${reply.description}`, {
      remedy: 'Slow down and try again; workers are behind.',
    })
  }
  return new PeltonError('undeliverable', `${stream} refused: ${reply.description} (${reply.code})`)
}
