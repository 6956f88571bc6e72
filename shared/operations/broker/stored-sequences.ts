import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../../sdk/errors.ts'
import { requestApi, type StreamInfo, streamInfo } from '../../sdk/jetstream/api.ts'
import { namesOf } from '../../sdk/jetstream/names-of.ts'
import { SequenceSet } from './sequence-set.ts'

/** Which sequences a stream holds at one moment, and how it is set up. */
export interface StoredSequences {
  readonly epoch: string
  readonly config: StreamInfo['config']
  readonly firstSequence: number
  readonly lastSequence: number
  readonly messages: number
  /** Removed sequences between the first and the last; `undefined` where they are too many for one answer. */
  readonly removed: readonly number[] | undefined
}

/** More than this the broker is not asked to list: 16 MB of JSON. */
const MAX_REMOVED = 2_000_000
const LIST_TIMEOUT_MS = 60_000

interface DetailedInfo extends StreamInfo {
  readonly state: StreamInfo['state'] & {
    readonly deleted?: readonly number[]
    readonly num_deleted?: number
  }
}

/** A stream that must be there. @throws PeltonError `not-provisioned` where it is not */
export async function neededStream(connection: NatsConnection, stream: string): Promise<StreamInfo> {
  const info = await streamInfo(connection, stream)
  if (info !== undefined) return info
  throw new PeltonError('not-provisioned', 'a stream does not exist, so nothing can be accounted for', {
    field: 'stream',
    value: namesOf(connection).stream(stream),
    remedy: 'Run `pelton provision`, or set PELTON_NATS_URL to the broker that has the events.',
  })
}

/**
 * Reads which sequences a stream holds, without a consumer.
 *
 * @throws PeltonError `not-provisioned`, `broker-unavailable`
 */
export async function readStoredSequences(
  connection: NatsConnection,
  stream: string,
  maxRemoved = MAX_REMOVED,
): Promise<StoredSequences> {
  const plain = (await neededStream(connection, stream)) as DetailedInfo
  const isListed = (plain.state.num_deleted ?? 0) <= maxRemoved
  const info = isListed ? await detailedInfo(connection, stream) : plain
  const { messages, first_seq, last_seq, num_deleted = 0, deleted = [] } = info.state
  return {
    epoch: info.created,
    config: info.config,
    firstSequence: first_seq,
    lastSequence: last_seq,
    messages,
    removed: isListed && deleted.length === num_deleted ? deleted : undefined,
  }
}

function detailedInfo(connection: NatsConnection, stream: string): Promise<DetailedInfo> {
  return requestApi(connection, `STREAM.INFO.${stream}`, { deleted_details: true }, LIST_TIMEOUT_MS)
}

/** The sequences a stream held, from `first` on; `undefined` where it is not known which. */
export function storedSet(stored: StoredSequences, first: number): SequenceSet | undefined {
  const { removed, messages, firstSequence, lastSequence } = stored
  if (messages === 0) return new SequenceSet(first, lastSequence)
  if (removed === undefined) return undefined
  const present = new SequenceSet(first, lastSequence)
  present.addRange([firstSequence, lastSequence])
  for (const sequence of removed) present.delete(sequence)
  return present
}
