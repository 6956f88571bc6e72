import type { NatsConnection } from '@nats-io/transport-node'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { streamInfo } from '../../sdk/jetstream/api.ts'
import type { DeadLetterEntry } from '../records/dead-letter.ts'
import { browseDeadLetters } from './browse.ts'
import type { DeadLetterFilter } from './filter.ts'

/** Which part of a list to read. */
export interface PageOptions {
  readonly filter?: DeadLetterFilter
  /** Entries at most. @default 50 */
  readonly limit?: number
  /** Where to go on: `next` of the page before. @default the beginning */
  readonly cursor?: number
  /** @default 'oldest' */
  readonly first?: 'oldest' | 'newest'
}

/** A part of a list, and where the next begins. */
export interface DeadLetterPage {
  readonly entries: readonly DeadLetterEntry[]
  /** Cursor of the next page; undefined when this is the last. */
  readonly next: number | undefined
}

/**
 * Some dead letters that match a filter, oldest or newest first, without their payloads. Reads no more than it must:
 * the stream up to the last entry of the page.
 *
 * @throws PeltonError `broker-unavailable`
 */
export function pageDeadLetters(
  connection: NatsConnection,
  { filter = {}, limit = 50, cursor, first = 'oldest' }: PageOptions = {},
): Promise<DeadLetterPage> {
  return first === 'oldest'
    ? oldestFirst(connection, filter, limit, cursor)
    : newestFirst(connection, filter, limit, cursor)
}

async function oldestFirst(
  connection: NatsConnection,
  filter: DeadLetterFilter,
  limit: number,
  cursor: number | undefined,
): Promise<DeadLetterPage> {
  const entries: DeadLetterEntry[] = []
  const from = cursor === undefined ? {} : { fromSequence: cursor }
  for await (const entry of browseDeadLetters(connection, { filter, ...from })) {
    if (entries.length === limit) return { entries, next: entry.sequence }
    entries.push(entry)
  }
  return { entries, next: undefined }
}

/** A stream is read forwards only: stretches of it are, from its end on, each longer than the one before. */
async function newestFirst(
  connection: NatsConnection,
  filter: DeadLetterFilter,
  limit: number,
  cursor: number | undefined,
): Promise<DeadLetterPage> {
  const state = (await streamInfo(connection, STREAMS.deadLetters))?.state
  if (state === undefined || state.messages === 0) return { entries: [], next: undefined }
  const entries: DeadLetterEntry[] = []
  let to = Math.min(state.last_seq, cursor ?? state.last_seq)
  for (let length = 2 * (limit + 1); to >= state.first_seq; length *= 4) {
    const fromSequence = Math.max(state.first_seq, to - length + 1)
    const wanted = limit + 1 - entries.length
    let found: DeadLetterEntry[] = []
    for await (const entry of browseDeadLetters(connection, { filter, fromSequence, toSequence: to }))
      if (found.push(entry) >= 2 * wanted) found = found.slice(-wanted)
    entries.push(...found.slice(-wanted).reverse())
    if (entries.length > limit) return { entries: entries.slice(0, limit), next: entries[limit]?.sequence }
    to = fromSequence - 1
  }
  return { entries, next: undefined }
}
