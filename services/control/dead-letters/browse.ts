import type { Msg, NatsConnection } from '@nats-io/transport-node'
import { readDeliverySubject } from '../../../shared/sdk/contract/delivery-subject.ts'
import { HEADERS, type Headers, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { encodeSegment, readOutcomeSubject } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { findApi, NOT_FOUND, requestApi } from '../../../shared/sdk/jetstream/api.ts'
import { PullLane } from '../../../shared/sdk/jetstream/pull-lane.ts'
import { parseHeaderBlock, readMessageHeaders } from '../../../shared/sdk/jetstream/stored-message.ts'

/** What a list says about a dead letter, without its payload. */
export interface DeadLetterEntry {
  readonly sequence: number
  readonly model: string
  readonly token: string
  readonly sizeBytes: number
  readonly headers: Headers
}

/** A dead letter as it is stored. */
export interface StoredDeadLetter extends DeadLetterEntry {
  /** When it was stored, RFC 3339. */
  readonly storedAt: string
  readonly body: Uint8Array
}

export interface BrowseOptions {
  /** Only those of this model. */
  readonly model?: string
  /** Only from this sequence of the stream on. */
  readonly fromSequence?: number
  /** Only those stored since. */
  readonly since?: Date
}

/** Headers of this many are read at once. */
const PAGE = 200
const PAGE_BYTES = 4 * 1024 ** 2
const IDLE_MS = 2_000

/**
 * Dead letters, oldest first, read a page at a time without their payloads. The reader on the broker is temporary and
 * changes nothing; what is stored after it began is not read.
 */
export async function* browseDeadLetters(
  connection: NatsConnection,
  options: BrowseOptions = {},
): AsyncGenerator<DeadLetterEntry> {
  const reader = await createReader(connection, options)
  if (reader === undefined) return
  const page: Msg[] = []
  const lane = new PullLane(connection, { stream: STREAMS.deadLetters, consumer: reader.name }, (message) =>
    page.push(message),
  )
  try {
    for (let left = reader.pending; left > 0; ) {
      const { received, end } = await lane.pull({
        batch: Math.min(PAGE, left),
        maxBytes: PAGE_BYTES,
        idleMs: IDLE_MS,
        lingerMs: 0,
      })
      for (const message of page.splice(0)) yield toEntry(message)
      left -= received
      if (received === 0 && end === 'drained') return // somebody removed the rest meanwhile
      if (received === 0) throw unreadable(end)
    }
  } finally {
    await lane.close()
    // It would go by itself a little later.
    await requestApi(connection, `CONSUMER.DELETE.${STREAMS.deadLetters}.${reader.name}`).catch(
      () => undefined,
    )
  }
}

async function createReader(
  connection: NatsConnection,
  { model, fromSequence, since }: BrowseOptions,
): Promise<{ readonly name: string; readonly pending: number } | undefined> {
  const start =
    since !== undefined
      ? { deliver_policy: 'by_start_time', opt_start_time: since.toISOString() }
      : fromSequence !== undefined
        ? { deliver_policy: 'by_start_sequence', opt_start_seq: fromSequence }
        : { deliver_policy: 'all' }
  const config = {
    ...start,
    filter_subject: `deadletters.${model === undefined ? '*' : encodeSegment(model)}.*`,
    ack_policy: 'none',
    headers_only: true,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: 30e9,
  }
  const created = await findApi<{ name: string; num_pending: number }>(
    connection,
    `CONSUMER.CREATE.${STREAMS.deadLetters}`,
    NOT_FOUND.stream,
    { stream_name: STREAMS.deadLetters, config },
  )
  return created && { name: created.name, pending: created.num_pending }
}

function toEntry(message: Msg): DeadLetterEntry {
  const headers = readMessageHeaders(message)
  return {
    sequence: readDeliverySubject(message.reply ?? '')?.streamSequence ?? 0,
    ...identify(message.subject),
    sizeBytes: Number(readHeader(headers, 'Nats-Msg-Size') ?? message.data.length),
    headers,
  }
}

function identify(subject: string): { readonly model: string; readonly token: string } {
  return readOutcomeSubject(subject) ?? { model: subject, token: '' }
}

/**
 * One dead letter, whole, from the leader of its stream.
 *
 * @param which a token, or the sequence in the stream
 */
export async function findDeadLetter(
  connection: NatsConnection,
  which: { readonly token: string } | { readonly sequence: number },
): Promise<StoredDeadLetter | undefined> {
  const asked = 'token' in which ? { last_by_subj: `deadletters.*.${which.token}` } : { seq: which.sequence }
  const reply = await findApi<{
    readonly message: { subject: string; seq: number; time: string; hdrs?: string; data?: string }
  }>(connection, `STREAM.MSG.GET.${STREAMS.deadLetters}`, NOT_FOUND.message, asked)
  if (reply === undefined) return undefined
  const { subject, seq, time, hdrs = '', data = '' } = reply.message
  const body = Buffer.from(data, 'base64')
  return {
    sequence: seq,
    ...identify(subject),
    sizeBytes: body.length,
    headers: parseHeaderBlock(Buffer.from(hdrs, 'base64')),
    storedAt: time,
    body,
  }
}

/** What a dead letter's headers say, as plain fields. */
export function describeEntry({ sequence, model, token, sizeBytes, headers }: DeadLetterEntry) {
  return {
    sequence,
    token,
    model,
    reason: readHeader(headers, HEADERS.deadLetterReason) ?? 'unknown',
    description: readHeader(headers, HEADERS.deadLetterDescription) ?? '',
    stage: readHeader(headers, HEADERS.stage),
    attempt: Number(readHeader(headers, HEADERS.attempt) ?? 1),
    failedAt: readHeader(headers, HEADERS.failedAt),
    firstSeen: readHeader(headers, HEADERS.firstSeen),
    id: readHeader(headers, HEADERS.id),
    source: readHeader(headers, HEADERS.source),
    traceId: /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(readHeader(headers, HEADERS.traceparent) ?? '')?.[1],
    sizeBytes,
  }
}

function unreadable(end: string): PeltonError {
  return new PeltonError('broker-unavailable', `the dead letters cannot be read on (${end})`, {
    remedy: 'Try again; the sequence shown last can be given as --from.',
  })
}
