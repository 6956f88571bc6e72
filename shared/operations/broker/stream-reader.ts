import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { readDeliverySubject } from '../../sdk/contract/delivery-subject.ts'
import type { Headers } from '../../sdk/contract/headers.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { findApi, NOT_FOUND, requestApi, streamInfo } from '../../sdk/jetstream/api.ts'
import { type Frame, readFrameHeaders } from '../../sdk/jetstream/frame.ts'
import { type PullEnd, PullLane } from '../../sdk/jetstream/pull-lane.ts'
import { holdsMore } from './holds-more.ts'
import { createPatience } from './patience.ts'

/** What to read of a stream with the `limits` retention. */
export interface ReadOptions {
  readonly stream: string
  /** Subject filter. */
  readonly subject: string
  /** Where to begin, in the words of a consumer's configuration. @default everything */
  readonly start?: Readonly<Record<string, unknown>>
  /** Only up to this sequence. @default what is there when the reading begins */
  readonly toSequence?: number
  /** Leave the bodies where they are; their size stands in header `Nats-Msg-Size`. @default false */
  readonly headersOnly?: boolean
}

/** A message as its stream has it; without its body where only headers were asked for. */
export interface ReadMessage {
  readonly subject: string
  readonly sequence: number
  /** When it was stored, RFC 3339, by the broker's clock. */
  readonly storedAt: string
  readonly headers: Headers
  readonly body: Uint8Array
}

/** The first page is small, for a caller that wants no more; each further one is twice as large. */
const FIRST_PAGE = 128
const LARGEST_PAGE = 2_048
const PAGE_BYTES = 4 * 1024 ** 2
const IDLE_MS = 2_000
/** The broker forgets a reader that nobody pulls from: a replay may take this long over one page. */
const INACTIVE_NANOS = 10 * 60e9

/**
 * Messages of a stream in the order of their sequences, a page at a time, the next one on its way. The reader on the
 * broker is temporary and changes nothing. One that is lost (a broker that restarts, a connection that breaks) is made
 * again behind the last message: none is passed over.
 *
 * @throws PeltonError `broker-unavailable` when the stream cannot be read on for a minute
 */
export async function* readMessages(
  connection: NatsConnection,
  options: ReadOptions,
): AsyncGenerator<ReadMessage> {
  const place: Place = { after: 0, toSequence: options.toSequence }
  for (let patience = createPatience(); ; ) {
    try {
      for await (const message of readOnce(connection, options, place)) {
        patience = createPatience()
        yield message
      }
      return
    } catch (thrown) {
      if (!patience.bears(thrown)) throw thrown
      await sleep(patience.pauseMs())
    }
  }
}

/** How far a stream was read. */
interface Place {
  /** Sequence of the last message. */
  after: number
  /** Last sequence to be read, once it is known. */
  toSequence: number | undefined
}

async function* readOnce(
  connection: NatsConnection,
  options: ReadOptions,
  place: Place,
): AsyncGenerator<ReadMessage> {
  const reader = await openReader(connection, options, place)
  if (reader === undefined) return
  try {
    let { pending } = reader
    // The reader numbers what it hands out: a gap is a message that did not arrive.
    for (let handedOut = 0; pending > 0; ) {
      const page = await reader.nextPage(pending, handedOut)
      if (page.length === 0) break
      for (const message of page) {
        const delivery = readDeliverySubject(message.reply ?? '')
        if (delivery?.consumerSequence !== ++handedOut) throw lost(options.stream)
        pending = delivery.pending
        if (delivery.streamSequence <= place.after) continue
        if (delivery.streamSequence > (place.toSequence ?? Number.POSITIVE_INFINITY)) return
        place.after = delivery.streamSequence
        yield toMessage(message, delivery)
      }
    }
    await refuseEarlyEnd(connection, options, place)
  } finally {
    await reader.close()
  }
}

interface Reader {
  /** Messages it will hand out. */
  readonly pending: number
  /** The next messages; none when what is pending was removed meanwhile. */
  nextPage(pending: number, handedOut: number): Promise<Frame[]>
  close(): Promise<void>
}

async function openReader(
  connection: NatsConnection,
  options: ReadOptions,
  place: Place,
): Promise<Reader | undefined> {
  const { stream } = options
  const created = await createConsumer(connection, options, place.after)
  if (created === undefined) return undefined
  const { name, num_pending: pending } = created
  if (place.toSequence === undefined && !isLastPerSubject(options))
    place.toSequence = (await streamInfo(connection, stream))?.state.last_seq
  const received: Frame[] = []
  const lane = new PullLane(connection, { stream, consumer: name }, (message) => received.push(message))
  // Never less than the largest message there can be, or that one would end the reading.
  const maxBytes = Math.max(PAGE_BYTES, 2 * (connection.info?.max_payload ?? 0))
  let size = FIRST_PAGE
  const pull = (): Promise<{ readonly end: PullEnd }> =>
    lane.pull({ batch: size, maxBytes, idleMs: IDLE_MS, lingerMs: 0 })
  let pulling: ReturnType<typeof pull> | undefined
  return {
    pending,
    async nextPage(left, handedOut) {
      const { end } = await (pulling ?? pull())
      const page = received.splice(0)
      if (page.length === 0) await refuseLoss(connection, stream, name, { end, handedOut })
      size = Math.min(LARGEST_PAGE, 2 * size)
      pulling = page.length > 0 && left > page.length ? pull() : undefined
      return page
    },
    async close() {
      await lane.close()
      // It would go by itself later.
      await requestApi(connection, `CONSUMER.DELETE.${stream}.${name}`).catch(() => undefined)
    },
  }
}

function createConsumer(
  connection: NatsConnection,
  options: ReadOptions,
  after: number,
): Promise<{ readonly name: string; readonly num_pending: number } | undefined> {
  const { stream, subject, start = { deliver_policy: 'all' }, headersOnly = false } = options
  const behind = { deliver_policy: 'by_start_sequence', opt_start_seq: after + 1 }
  const config = {
    ...(after > 0 && !isLastPerSubject(options) ? behind : start),
    filter_subject: subject,
    ack_policy: 'none',
    headers_only: headersOnly,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: INACTIVE_NANOS,
  }
  return findApi(connection, `CONSUMER.CREATE.${stream}`, NOT_FOUND.stream, { stream_name: stream, config })
}

function isLastPerSubject({ start }: ReadOptions): boolean {
  return start?.deliver_policy === 'last_per_subject'
}

/** An empty page is the end only where all that was handed out arrived: the rest was removed meanwhile. */
async function refuseLoss(
  connection: NatsConnection,
  stream: string,
  name: string,
  { end, handedOut }: { readonly end: PullEnd; readonly handedOut: number },
): Promise<void> {
  if (end !== 'drained') throw lost(stream, end)
  const info = await requestApi<{ readonly delivered: { readonly consumer_seq: number } }>(
    connection,
    `CONSUMER.INFO.${stream}.${name}`,
  )
  if (info.delivered.consumer_seq !== handedOut) throw lost(stream)
}

/** The copy that was read may be behind the others: the end is what the leader says it is. */
async function refuseEarlyEnd(
  connection: NatsConnection,
  options: ReadOptions,
  { after, toSequence = 0 }: Place,
): Promise<void> {
  const { stream, subject } = options
  const from = after > 0 ? after + 1 : firstSequence(options)
  if (from !== undefined && (await holdsMore(connection, { stream, subject, from, to: toSequence })))
    throw lost(stream, 'the server that is read has not caught up with the others')
}

/** Undefined where it is told by something else than a sequence. */
function firstSequence({ start = { deliver_policy: 'all' } }: ReadOptions): number | undefined {
  if (start.deliver_policy === 'all') return 1
  return start.deliver_policy === 'by_start_sequence' ? Number(start.opt_start_seq) : undefined
}

function toMessage(
  message: Frame,
  { streamSequence, storedAt }: { readonly streamSequence: number; readonly storedAt: number },
): ReadMessage {
  return {
    subject: message.subject,
    sequence: streamSequence,
    storedAt: new Date(storedAt).toISOString(),
    headers: readFrameHeaders(message),
    body: message.data,
  }
}

function lost(stream: string, why = 'a message did not arrive'): PeltonError {
  return new PeltonError('broker-unavailable', `${stream} cannot be read on (${why})`, {
    remedy: 'Try again.',
  })
}
