import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { readDeliverySubject } from '../../sdk/contract/delivery-subject.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { ApiRefusal, requestApi } from '../../sdk/jetstream/api.ts'
import type { Frame } from '../../sdk/jetstream/frame.ts'
import { PullLane } from '../../sdk/jetstream/pull-lane.ts'
import { holdsMore } from './holds-more.ts'

/** Which messages of a stream to read. */
export interface StreamRange {
  readonly stream: string
  /** First sequence, from 1. */
  readonly from: number
  /** Last sequence. */
  readonly to: number
  readonly headersOnly?: boolean
}

/** A message of the range, as the stream has it. */
export interface RangeMessage {
  readonly subject: string
  readonly sequence: number
  /** When the stream stored it, milliseconds since 1970 by the broker's clock. */
  readonly storedAt: number
  readonly message: Frame
}

/** Messages asked for at once, and their bytes at most. */
const PAGE = 4_000
const PAGE_BYTES = 8 * 1024 ** 2
const IDLE_MS = 2_000
/** Readers made anew in a row without a single message between them. */
const MAX_RESTARTS = 20
const RESTART_PAUSE_MS = 250

/**
 * Reads what a stream holds between two sequences, in order, each message once. The reader on the broker is temporary
 * and takes nothing out. Goes on where it was after a lost connection or a leader change, and where its server had not caught up
 * with the others: the end is what the leader says it is.
 *
 * @throws PeltonError `broker-unavailable` when the stream cannot be read on for some ten seconds
 */
export async function readRange(
  connection: NatsConnection,
  range: StreamRange,
  onMessage: (message: RangeMessage) => void,
): Promise<void> {
  let next = Math.max(1, range.from)
  for (let restarts = 0; next <= range.to; ) {
    const { reached, isAtEnd } = await readOnce(connection, { ...range, from: next }, onMessage)
    restarts = reached >= next ? 0 : restarts + 1
    next = Math.max(next, reached + 1)
    if (isAtEnd && !(await holdsMore(connection, { ...range, from: next }))) return
    if (restarts > MAX_RESTARTS) {
      throw new PeltonError('broker-unavailable', `${range.stream} cannot be read on`, {
        field: 'sequence',
        value: String(next),
        remedy: 'See `pelton doctor`, and try again.',
      })
    }
    await sleep(RESTART_PAUSE_MS)
  }
}

/** Reads with one consumer until its end, or until something is missed. */
async function readOnce(
  connection: NatsConnection,
  range: StreamRange,
  onMessage: (message: RangeMessage) => void,
): Promise<{ readonly reached: number; readonly isAtEnd: boolean }> {
  const reader = await createReader(connection, range)
  if (reader === undefined) return { reached: 0, isAtEnd: false }
  let reached = 0
  let order = 0
  let hasGap = false
  let isOver = false
  const lane = new PullLane(connection, { stream: range.stream, consumer: reader.name }, (message) => {
    const delivery = readDeliverySubject(message.reply ?? '')
    // A delivery that was lost on the way shows in the consumer's own count: everything after it is read again.
    hasGap ||= delivery?.consumerSequence !== order + 1
    if (hasGap || isOver || delivery === undefined) return
    const { consumerSequence, streamSequence: sequence, storedAt } = delivery
    order = consumerSequence
    if (sequence <= reached) return
    reached = sequence
    if (sequence <= range.to) onMessage({ subject: message.subject, sequence, storedAt, message })
  })
  const maxBytes = Math.max(PAGE_BYTES, 2 * (connection.info?.max_payload ?? 0))
  try {
    for (let left = reader.pending; left > 0 && reached < range.to; ) {
      const batch = Math.min(PAGE, left)
      const { received, end } = await lane.pull({ batch, maxBytes, idleMs: IDLE_MS, lingerMs: 0 })
      left -= received
      if (hasGap || end === 'lost' || end === 'unavailable') return { reached, isAtEnd: false }
      if (received > 0) continue
      const isRestGone =
        end === 'drained' && (await handedOut(connection, range.stream, reader.name)) === order
      return { reached, isAtEnd: isRestGone }
    }
    return { reached, isAtEnd: true }
  } finally {
    isOver = true // what still comes is read again
    await lane.close()
    // It would go by itself a little later.
    await requestApi(connection, `CONSUMER.DELETE.${range.stream}.${reader.name}`).catch(() => undefined)
  }
}

/**
 * How many messages the broker handed out, by its own count: an empty page is the end only where all of them arrived,
 * because then the rest was removed meanwhile. `undefined` where it does not say.
 */
async function handedOut(
  connection: NatsConnection,
  stream: string,
  name: string,
): Promise<number | undefined> {
  const asked = requestApi<{ readonly delivered: { readonly consumer_seq: number } }>(
    connection,
    `CONSUMER.INFO.${stream}.${name}`,
  )
  return asked.then(
    ({ delivered }) => delivered.consumer_seq,
    () => undefined,
  )
}

async function createReader(
  connection: NatsConnection,
  { stream, from, headersOnly = false }: StreamRange,
): Promise<{ readonly name: string; readonly pending: number } | undefined> {
  const config = {
    deliver_policy: 'by_start_sequence',
    opt_start_seq: from,
    ack_policy: 'none',
    headers_only: headersOnly,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: 30e9,
  }
  try {
    const created = await requestApi<{ name: string; num_pending: number }>(
      connection,
      `CONSUMER.CREATE.${stream}`,
      { stream_name: stream, config },
    )
    return { name: created.name, pending: created.num_pending }
  } catch (thrown) {
    if (thrown instanceof ApiRefusal && thrown.status < 500) throw thrown
    return undefined // no answer, or no leader: asked again
  }
}
