import type { Msg, NatsConnection } from '@nats-io/transport-node'
import { readDeliverySubject } from '../../../shared/sdk/contract/delivery-subject.ts'
import type { Headers } from '../../../shared/sdk/contract/headers.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { findApi, NOT_FOUND, requestApi } from '../../../shared/sdk/jetstream/api.ts'
import { PullLane } from '../../../shared/sdk/jetstream/pull-lane.ts'
import { readMessageHeaders } from '../../../shared/sdk/jetstream/stored-message.ts'

/** What to read of a stream with the `limits` retention. */
export interface ReadOptions {
  readonly stream: string
  /** Subject filter. */
  readonly subject: string
  /** Where to begin, in the words of a consumer's configuration. @default everything */
  readonly start?: Readonly<Record<string, unknown>>
  /** Leave the bodies where they are; their size stands in header `Nats-Msg-Size`. @default false */
  readonly headersOnly?: boolean
}

export interface ReadMessage {
  readonly subject: string
  readonly sequence: number
  /** When it was stored, RFC 3339, by the broker's clock. */
  readonly storedAt: string
  readonly headers: Headers
  readonly body: Uint8Array
}

/** This many are read at once. */
const PAGE = 200
const PAGE_BYTES = 4 * 1024 ** 2
const IDLE_MS = 2_000
/** The broker forgets a reader that nobody pulls from: a replay may take this long over one page. */
const INACTIVE_NANOS = 10 * 60e9

/**
 * Messages of a stream, oldest first, a page at a time. The reader on the broker is temporary and changes nothing; what
 * is stored after it began is not read.
 *
 * @throws PeltonError `broker-unavailable` when the stream cannot be read on
 */
export async function* readMessages(
  connection: NatsConnection,
  options: ReadOptions,
): AsyncGenerator<ReadMessage> {
  const reader = await createReader(connection, options)
  if (reader === undefined) return
  const { stream } = options
  const page: Msg[] = []
  const lane = new PullLane(connection, { stream, consumer: reader.name }, (message) => page.push(message))
  // Never less than the largest message there can be, or that one would end the reading.
  const maxBytes = Math.max(PAGE_BYTES, 2 * (connection.info?.max_payload ?? 0))
  try {
    for (let left = reader.pending; left > 0; ) {
      const batch = Math.min(PAGE, left)
      const { received, end } = await lane.pull({ batch, maxBytes, idleMs: IDLE_MS, lingerMs: 0 })
      for (const message of page.splice(0)) yield toMessage(message)
      left -= received
      if (received === 0 && end === 'drained') return // somebody removed the rest meanwhile
      if (received === 0) throw unreadable(stream, end)
    }
  } finally {
    await lane.close()
    // It would go by itself later.
    await requestApi(connection, `CONSUMER.DELETE.${stream}.${reader.name}`).catch(() => undefined)
  }
}

async function createReader(
  connection: NatsConnection,
  { stream, subject, start = { deliver_policy: 'all' }, headersOnly = false }: ReadOptions,
): Promise<{ readonly name: string; readonly pending: number } | undefined> {
  const config = {
    ...start,
    filter_subject: subject,
    ack_policy: 'none',
    headers_only: headersOnly,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: INACTIVE_NANOS,
  }
  const created = await findApi<{ name: string; num_pending: number }>(
    connection,
    `CONSUMER.CREATE.${stream}`,
    NOT_FOUND.stream,
    { stream_name: stream, config },
  )
  return created && { name: created.name, pending: created.num_pending }
}

function toMessage(message: Msg): ReadMessage {
  const delivery = readDeliverySubject(message.reply ?? '')
  return {
    subject: message.subject,
    sequence: delivery?.streamSequence ?? 0,
    storedAt: new Date(delivery?.storedAt ?? 0).toISOString(),
    headers: readMessageHeaders(message),
    body: message.data,
  }
}

function unreadable(stream: string, end: string): PeltonError {
  return new PeltonError('broker-unavailable', `${stream} cannot be read on (${end})`, {
    remedy: 'Try again.',
  })
}
