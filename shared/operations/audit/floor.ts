import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS } from '../../sdk/contract/headers.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { lastOfSubject } from '../../sdk/jetstream/api.ts'
import { publishError } from '../../sdk/jetstream/publish-reply.ts'
import { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { parseRanges, type SequenceRange, showRanges } from '../broker/sequence-set.ts'
import type { OpenThen, RetriedEvent } from './accounts.ts'

/** What a clean audit left open; the next one starts from it instead of from the first event. */
export interface Floor extends OpenThen {
  /** Creation time of FEATURES. */
  readonly epoch: string
  /** Creation time of the LEDGER, and its first record that was not read. */
  readonly ledger: { readonly epoch: string; readonly next: number }
  /** When it was signed off, RFC 3339, by the broker's clock. */
  readonly at: string
}

/** What lies in the bucket. */
export interface StoredFloor {
  /** Undefined where nothing was signed off, or it cannot be read: then an audit starts from the first event. */
  readonly floor: Floor | undefined
  /** Its sequence in the bucket's stream, 0 for none: an audit that replaces it names it. */
  readonly revision: number
}

/** An entry of a key-value bucket: it keeps the last 16, a stream of its own is not needed. */
const BUCKET_STREAM = STORES.models
const FLOOR_SUBJECT = subjects.auditFloor()

/** Larger is not stored: many single waiting events between settled ones. */
const MAX_FLOOR_BYTES = 512 * 1024

/**
 * Reads the floor that was signed off last, from the leader. @throws PeltonError `broker-unavailable`; ApiRefusal
 * without the bucket
 */
export async function readFloor(connection: NatsConnection): Promise<StoredFloor> {
  const copy = await lastOfSubject(connection, BUCKET_STREAM, FLOOR_SUBJECT)
  return { floor: copy && decodeFloor(copy.body), revision: copy?.sequence ?? 0 }
}

/**
 * Stores a floor in place of the one that was read.
 *
 * @param replaced revision of the floor that was read; 0 where there was none
 * @throws PeltonError `invalid-argument` where too many single events are open; `undeliverable`
 *   where another audit was signed off meanwhile; `broker-unavailable`, `stream-full`
 */
export async function writeFloor(connection: NatsConnection, floor: Floor, replaced: number): Promise<void> {
  const body = encodeFloor(floor)
  if (body.length > Math.min(MAX_FLOOR_BYTES, connection.info?.max_payload ?? MAX_FLOOR_BYTES)) {
    throw new PeltonError('invalid-argument', 'too many events are open to sign off a floor', {
      field: '--sign-off',
      value: `${floor.retries.length} retries, ${floor.waiting.length} ranges of waiting events`,
      remedy: 'Sign off when fewer events wait; the audit itself is clean.',
    })
  }
  const window = new PublishWindow(connection)
  try {
    const headers = [[HEADERS.expectedSubjectSequence, String(replaced)]] as const
    const reply = await window.publish({ subject: FLOOR_SUBJECT, headers, body })
    if (reply.kind !== 'stored') throw publishError(BUCKET_STREAM, reply)
  } finally {
    window.close()
  }
}

interface WireFloor {
  readonly v: 1
  readonly epoch: string
  readonly sequence: number
  readonly ledger: { readonly epoch: string; readonly next: number }
  readonly at: string
  /** Ranges, as the ledger writes them. */
  readonly waiting: string
  /** The creation time of the stream only where it is not that of the floor. */
  readonly retries: readonly (readonly [token: string, stream: string, sequence: number, epoch?: string])[]
}

/** A floor as bytes. */
export function encodeFloor(floor: Floor): Uint8Array {
  const wire: WireFloor = {
    v: 1,
    epoch: floor.epoch,
    sequence: floor.sequence,
    ledger: floor.ledger,
    at: floor.at,
    waiting: showRanges(floor.waiting),
    retries: floor.retries.map(({ token, stream, sequence, epoch }) =>
      epoch === undefined ? [token, stream, sequence] : [token, stream, sequence, epoch],
    ),
  }
  return new TextEncoder().encode(JSON.stringify(wire))
}

/** @returns `undefined` for bytes that are not a floor */
export function decodeFloor(bytes: Uint8Array): Floor | undefined {
  try {
    const { v, epoch, sequence, ledger, at, waiting, retries } = JSON.parse(
      new TextDecoder().decode(bytes),
    ) as WireFloor
    const ranges = waiting === '' ? [] : parseRanges(waiting)
    const isWhole = [sequence, ledger.next].every((number) => Number.isSafeInteger(number) && number >= 0)
    const isNamed = [epoch, ledger.epoch, at].every((text) => typeof text === 'string')
    if (v !== 1 || ranges === undefined || !isWhole || !isNamed || Number.isNaN(Date.parse(at)))
      return undefined
    if (!isAscending(ranges, sequence)) return undefined
    return { epoch, sequence, ledger, at, waiting: ranges, retries: retries.map(toRetried) }
  } catch {
    return undefined
  }
}

/** What waited lies before the end, in order: a damaged range must not keep an audit busy for ever. */
function isAscending(ranges: readonly SequenceRange[], end: number): boolean {
  return ranges.every(([first, last], index) => first > (ranges[index - 1]?.[1] ?? 0) && last <= end)
}

function toRetried([token, stream, sequence, epoch]: WireFloor['retries'][number]): RetriedEvent {
  if (typeof token !== 'string' || typeof stream !== 'string' || !Number.isSafeInteger(sequence))
    throw new Error('not a retried event')
  return { token, stream, sequence, ...(typeof epoch === 'string' && { epoch }) }
}
