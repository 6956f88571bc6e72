import type { NatsConnection } from '@nats-io/transport-node'
import {
  decodeAttribute,
  HEADERS,
  type HeaderEntry,
  type Headers,
  readHeader,
} from '../../sdk/contract/headers.ts'
import { readKeyedId } from '../../sdk/contract/keyed-id.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { isToken } from '../../sdk/contract/token.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { ApiRefusal, lastOfSubject, NOT_FOUND } from '../../sdk/jetstream/api.ts'
import { publishError } from '../../sdk/jetstream/publish-reply.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { patiently } from '../broker/patience.ts'
import type { DeadLetterEntry } from './dead-letter.ts'

/** That the caller of an event which became a dead letter asked again: its answer is that of another event. */
export interface SupersededMark {
  /** Token of the event that took its place. */
  readonly by: string
  /** When, RFC 3339. */
  readonly at: string
}

/** How long a mark is kept: a dead letter that is older by then is for people to judge. */
const KEPT = '720h'

const HEADERS_OF_MARK: readonly HeaderEntry[] = [[HEADERS.timeToLive, KEPT]]

/**
 * Marks the dead letter of an event as superseded by its caller. May be done twice.
 *
 * @throws PeltonError `broker-unavailable`, `stream-full`, `undeliverable`
 */
export async function markSuperseded(
  window: PublishWindow,
  token: string,
  mark: SupersededMark,
  patienceMs: number,
): Promise<void> {
  const body = Buffer.from(JSON.stringify({ v: 1, ...mark }))
  const message = { subject: subjects.supersededMark(token), headers: HEADERS_OF_MARK, body }
  await patiently(async () => {
    const reply = await window.publish(message)
    if (reply.kind !== 'stored') throw publishError(STORES.requests, reply)
  }, patienceMs)
}

/**
 * The mark of a dead letter; `undefined` where there is none. Asks the broker only where its event had an idempotency
 * key: no other can have one.
 *
 * @throws PeltonError `broker-unavailable`
 */
export async function superseded(
  connection: NatsConnection,
  { token, headers }: Pick<DeadLetterEntry, 'token' | 'headers'>,
): Promise<SupersededMark | undefined> {
  if (!hadKey(headers) || !isToken(token)) return undefined
  try {
    const copy = await lastOfSubject(connection, STORES.requests, subjects.supersededMark(token))
    return copy && readMark(copy.body, copy.storedAt)
  } catch (thrown) {
    // A Pelton of before gateways has no such bucket, and none of its dead letters is marked.
    if (thrown instanceof ApiRefusal && thrown.code === NOT_FOUND.stream) return undefined
    throw thrown
  }
}

function hadKey(headers: Headers): boolean {
  const id = readHeader(headers, HEADERS.id) ?? ''
  return readKeyedId(decodeAttribute(id) ?? id) !== undefined
}

/** That there is one counts, whatever it says. */
function readMark(body: Uint8Array, storedAt: number): SupersededMark {
  const stored = new Date(storedAt).toISOString()
  try {
    const { by, at } = JSON.parse(Buffer.from(body).toString()) as Readonly<Record<string, unknown>>
    return { by: typeof by === 'string' ? by : 'unknown', at: typeof at === 'string' ? at : stored }
  } catch {
    return { by: 'unknown', at: stored }
  }
}
