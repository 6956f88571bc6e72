import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../contract/headers.ts'
import { type Registered, readRegistered } from '../contract/registered.ts'
import { tokenOfSubject } from '../contract/subjects.ts'
import { STREAMS } from '../contract/topology.ts'
import { lastOfSubject, messagesOf, NOT_FOUND, type StoredCopy } from './api.ts'
import { apiSubject } from './domain.ts'
import { namesOf } from './names-of.ts'
import type { PublishWindow } from './publish-window.ts'
import { parseHeaderBlock } from './stored-message.ts'

/** A message as the leader of its stream holds it, headers read. */
export interface StoredAnswer extends StoredCopy {
  readonly headers: Headers
}

/** What the register of one event holds. */
export interface InRegister {
  /** Sequence of its last message, whatever that is; 0 when it is empty. */
  readonly last: number
  /** The last message that is an outcome: what lies above it is none. */
  readonly outcome: StoredAnswer | undefined
  /** Version of the contract of an outcome that is not read here, because its major is newer. */
  readonly newer: string | undefined
}

const EMPTY: InRegister = { last: 0, outcome: undefined, newer: undefined }

/** Junk in one register that is looked past. */
const MOST_LOOKS = 1_000

/**
 * Reads the register of an event from the leader of RESULTS. What is no outcome hides none: where the last message is
 * junk, those below it are read.
 *
 * @param subject `results.<model>.<token>`
 * @throws ApiRefusal, PeltonError `broker-unavailable`, Error for a register that holds more than 1,000 messages
 */
export async function lookIntoRegister(connection: NatsConnection, subject: string): Promise<InRegister> {
  const copy = await lastOfSubject(connection, STREAMS.results, subject)
  if (copy === undefined) return EMPTY
  const found = look({ last: copy.sequence, outcome: undefined, newer: undefined }, copy, subject)
  return found.outcome === undefined && found.newer === undefined
    ? lookBelow(connection, subject, found)
    : found
}

/**
 * The same for a register that is most likely empty: asked over the window, that takes half the work of a request. What it
 * does not say is empty is read in full.
 *
 * @throws as {@link lookIntoRegister}
 */
export async function lookIntoNewRegister(
  connection: NatsConnection,
  window: PublishWindow,
  subject: string,
): Promise<InRegister> {
  const names = namesOf(connection)
  const reply = await window.publish({
    subject: apiSubject(connection, `STREAM.MSG.GET.${names.stream(STREAMS.results)}`),
    headers: [],
    body: Buffer.from(JSON.stringify({ last_by_subj: names.subject(subject) })),
  })
  const isEmpty = reply.kind === 'refused' && reply.code === NOT_FOUND.message
  return isEmpty ? EMPTY : lookIntoRegister(connection, subject)
}

async function lookBelow(connection: NatsConnection, subject: string, top: InRegister): Promise<InRegister> {
  let found = top
  let looks = 0
  for await (const copy of messagesOf(connection, STREAMS.results, subject)) {
    if (copy.sequence >= top.last) break
    found = look(found, copy, subject)
    if (++looks === MOST_LOOKS)
      throw new Error(
        `${namesOf(connection).subject(subject)} holds more than ${MOST_LOOKS} messages: look at them, and purge what is junk`,
      )
  }
  return found
}

function look(found: InRegister, copy: StoredCopy, subject: string): InRegister {
  const headers = parseHeaderBlock(copy.headerBlock)
  const kind: Registered = readRegistered(headers, tokenOfSubject(subject))
  if (kind === 'junk') return found
  if (kind === 'newer') return { ...found, newer: readHeader(headers, HEADERS.contract) ?? '' }
  return { ...found, outcome: { ...copy, headers } }
}
