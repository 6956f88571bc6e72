import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type HeaderEntry } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { isToken } from '../../../shared/sdk/contract/token.ts'
import { STORES } from '../../../shared/sdk/contract/topology.ts'
import { lastOfSubject } from '../../../shared/sdk/jetstream/api.ts'
import {
  API_ERRORS,
  isFull,
  type PublishReply,
  publishError,
} from '../../../shared/sdk/jetstream/publish-reply.ts'
import type { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'

/** What the bucket says of a key while its request runs: what the register of outcomes cannot. */
export interface RequestEntry {
  /** Attempt that is under way, or was last. */
  readonly attempt: number
  /** Digest of the body that the key came with. */
  readonly body: string
  /** Who wrote it: one claim of one gateway, so that it knows its own write again. */
  readonly by: string
  /** How long it is of use, milliseconds since 1970. */
  readonly until: number
  /** Position of the event in FEATURES; undefined until the stream has it. */
  readonly sequence?: number
}

/** An entry and the revision to expect when it is changed. `entry` is undefined for one that was given back. */
export interface KeptEntry {
  readonly revision: number
  readonly entry: RequestEntry | undefined
  /** When it was written, milliseconds since 1970 by the broker's clock. */
  readonly storedAt: number
}

/** `late`: another one was faster. `busy`: another one is being written, so ask again. `full`: the bucket is at its limit. */
export type Written = { readonly revision: number } | 'late' | 'busy' | 'full'

/** A minute after the deadline its outcome is in the register, whoever made it. */
const AFTER_DEADLINE_MS = 60_000
/** The broker keeps nothing for less. */
const LEAST_TTL_S = 1
const GIVEN_BACK: readonly HeaderEntry[] = [
  ['KV-Operation', 'DEL'],
  [HEADERS.timeToLive, `${LEAST_TTL_S}s`],
]

/** Until when the entry of a request is of use. @param withoutDeadlineMs for one that has none */
export function untilOf(deadlineAt: number | undefined, withoutDeadlineMs: number, now: number): number {
  return deadlineAt === undefined ? now + withoutDeadlineMs : Math.max(now, deadlineAt) + AFTER_DEADLINE_MS
}

/**
 * Writes an entry in place of the one of revision `expected` (0: where there is none); `undefined` gives the key back.
 *
 * @throws PeltonError `broker-unavailable` where it is not known whether it was written, `undeliverable`
 */
export async function writeEntry(
  window: PublishWindow,
  digest: string,
  entry: RequestEntry | undefined,
  expected: number,
): Promise<Written> {
  const headers: readonly HeaderEntry[] = [
    ...(entry === undefined ? GIVEN_BACK : [[HEADERS.timeToLive, ttlOf(entry)] as const]),
    [HEADERS.expectedStream, STORES.requests],
    [HEADERS.expectedSubjectSequence, String(expected)],
  ]
  const body = Buffer.from(entry === undefined ? '' : JSON.stringify({ v: 1, ...entry }))
  return readWritten(await window.publish({ subject: subjects.keyedRequest(digest), headers, body }))
}

/** The account, or the broker's disk, has no room for it. */
const NO_ROOM: ReadonlySet<number> = new Set([10002, 10023, 10047])

function ttlOf({ until }: RequestEntry): string {
  return `${Math.max(LEAST_TTL_S, Math.ceil((until - Date.now()) / 1_000))}s`
}

function readWritten(reply: PublishReply): Written {
  if (reply.kind === 'stored') return { revision: reply.sequence }
  if (reply.kind === 'refused') {
    if (reply.code === API_ERRORS.wrongLastSequence) return 'late'
    if (reply.code === API_ERRORS.inFlight) return 'busy'
    if (isFull(reply) || NO_ROOM.has(reply.code)) return 'full'
  }
  throw publishError(STORES.requests, reply)
}

/** The entry of a key, from the leader; `undefined` where there is none. @throws PeltonError `broker-unavailable`, ApiRefusal */
export async function readEntry(connection: NatsConnection, digest: string): Promise<KeptEntry | undefined> {
  const copy = await lastOfSubject(connection, STORES.requests, subjects.keyedRequest(digest))
  if (copy === undefined) return undefined
  return { revision: copy.sequence, storedAt: copy.storedAt, entry: decodeEntry(copy.body) }
}

/** What is no entry, or was given back, is none: the next claim writes over it. */
export function decodeEntry(body: Uint8Array): RequestEntry | undefined {
  try {
    const {
      attempt,
      body: digest,
      by,
      until,
      sequence,
    } = JSON.parse(Buffer.from(body).toString()) as Readonly<Record<string, unknown>>
    const isWhole = isPosition(attempt) && typeof digest === 'string' && isToken(digest)
    if (!isWhole || typeof by !== 'string' || !isPosition(until)) return undefined
    return { attempt, body: digest, by, until, ...(isPosition(sequence) && { sequence }) }
  } catch {
    return undefined
  }
}

function isPosition(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}
