import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { type ReadMessage, readMessages } from '../broker/stream-reader.ts'
import { type DeadLetterEntry, identify, type StoredDeadLetter } from '../records/dead-letter.ts'
import { type DeadLetterFilter, matchesFilter } from './filter.ts'

/** Which dead letters to read. Bounds are included. */
export interface BrowseOptions {
  readonly filter?: DeadLetterFilter
  /** Only from this sequence of the stream on. */
  readonly fromSequence?: number
  /** Only up to this sequence of the stream. */
  readonly toSequence?: number
}

/** Workers follow the broker's clock to 5 s, or are not ready. */
const CLOCKS_DIFFER_MS = 60_000

/**
 * Dead letters that match a filter, oldest first, without their payloads. What is stored after it began is not read.
 *
 * @throws PeltonError `broker-unavailable`
 */
export async function* browseDeadLetters(
  connection: NatsConnection,
  options: BrowseOptions = {},
): AsyncGenerator<DeadLetterEntry> {
  for await (const message of readMatching(connection, options, true)) yield toEntry(message)
}

/** Like {@link browseDeadLetters}, with the payloads. */
export async function* readDeadLetters(
  connection: NatsConnection,
  options: BrowseOptions = {},
): AsyncGenerator<StoredDeadLetter> {
  for await (const message of readMatching(connection, options, false))
    yield { ...toEntry(message), body: message.body }
}

async function* readMatching(
  connection: NatsConnection,
  { filter = {}, fromSequence, toSequence }: BrowseOptions,
  headersOnly: boolean,
): AsyncGenerator<ReadMessage> {
  const start =
    fromSequence !== undefined
      ? { deliver_policy: 'by_start_sequence', opt_start_seq: fromSequence }
      : filter.since !== undefined
        ? { deliver_policy: 'by_start_time', opt_start_time: notStoredBefore(filter.since) }
        : { deliver_policy: 'all' }
  const subject = subjects.deadLetterFilter(filter.model)
  const upTo = toSequence === undefined ? {} : { toSequence }
  const stream = STREAMS.deadLetters
  for await (const message of readMessages(connection, { stream, subject, start, headersOnly, ...upTo }))
    if (matchesFilter(filter, toEntry(message))) yield message
}

/** The filter goes by when an event failed. Its dead letter is stored after that, but for what clocks differ. */
function notStoredBefore(failedSince: string): string {
  return new Date(Date.parse(failedSince) - CLOCKS_DIFFER_MS).toISOString()
}

function toEntry({ subject, sequence, storedAt, headers, body }: ReadMessage): DeadLetterEntry {
  const sizeBytes = Number(readHeader(headers, 'Nats-Msg-Size') ?? body.length)
  return { sequence, ...identify(subject), sizeBytes, storedAt, headers }
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
    askedVersion: readHeader(headers, HEADERS.modelVersion),
    failedVersion: readHeader(headers, HEADERS.failedVersion),
    attempt: Number(readHeader(headers, HEADERS.attempt) ?? 1),
    failures: historyOf(headers).length,
    replay: readHeader(headers, HEADERS.replay),
    failedAt: readHeader(headers, HEADERS.failedAt),
    firstSeen: readHeader(headers, HEADERS.firstSeen),
    id: readHeader(headers, HEADERS.id),
    source: readHeader(headers, HEADERS.source),
    traceId: /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(readHeader(headers, HEADERS.traceparent) ?? '')?.[1],
    sizeBytes,
  }
}

/** One failure of an event, as its dead letter remembers it. */
export interface PastFailure {
  /** RFC 3339. */
  readonly at: string
  readonly reason: string
  /** Which attempt it was, from 1; a replay begins again at 1. */
  readonly attempt: number
  /** Version of the model that ran, where known. */
  readonly version?: string
  /** Task of the replay that sent it, if one did. */
  readonly replay?: string
}

/** The failures of an event so far, oldest first, at most eight. What cannot be read is left out. */
export function historyOf(headers: Headers): PastFailure[] {
  const entries = readHeader(headers, HEADERS.history)?.split('; ') ?? []
  return entries.flatMap((entry) => {
    const [at = '', reason = '', ...rest] = entry.split(' ')
    const { attempt, version, replay } = Object.fromEntries(rest.map((fact) => fact.split('=')))
    if (Number.isNaN(Date.parse(at)) || reason === '') return []
    const known = { ...(version !== undefined && { version }), ...(replay !== undefined && { replay }) }
    return [{ at, reason, attempt: Number(attempt ?? 1), ...known }]
  })
}
