import type { NatsConnection } from '@nats-io/transport-node'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import {
  ApiRefusal,
  findApi,
  NOT_FOUND,
  type StreamInfo,
  streamInfo,
} from '../../../shared/sdk/jetstream/api.ts'
import { countSubjects } from '../status/snapshot.ts'
import { SequenceSet } from './sequence-set.ts'

/** A stream that must be there for an audit. @throws PeltonError `not-provisioned` where it is not */
export async function neededStream(connection: NatsConnection, stream: string): Promise<StreamInfo> {
  const info = await streamInfo(connection, stream)
  if (info !== undefined) return info
  throw new PeltonError('not-provisioned', 'a stream does not exist, so nothing can be accounted for', {
    field: 'stream',
    value: stream,
    remedy: 'Run `pelton provision`, or set PELTON_NATS_URL to the broker that has the events.',
  })
}

/** What FEATURES holds at one moment. */
export interface StoredFeatures {
  readonly epoch: string
  readonly firstSequence: number
  readonly lastSequence: number
  readonly messages: number
  /** Why events may leave FEATURES although nobody settled them; undefined as Pelton provisions it. */
  readonly dropsBecause: string | undefined
  /** Removed sequences between the first and the last; `undefined` where they are too many for one answer. */
  readonly removed: readonly number[] | undefined
}

/** More than this the broker is not asked to list: 16 MB of JSON. Beyond it, single sequences are looked up. */
const MAX_REMOVED = 2_000_000
const LIST_TIMEOUT_MS = 60_000

interface DetailedInfo extends StreamInfo {
  readonly state: StreamInfo['state'] & {
    readonly deleted?: readonly number[]
    readonly num_deleted?: number
  }
}

/** Reads which sequences FEATURES holds, without a consumer: a work queue takes no second one. */
export async function readFeatures(
  connection: NatsConnection,
  maxRemoved = MAX_REMOVED,
): Promise<StoredFeatures> {
  const plain = (await neededStream(connection, STREAMS.features)) as DetailedInfo
  const isListed = (plain.state.num_deleted ?? 0) <= maxRemoved
  const info = isListed ? await detailedInfo(connection) : plain
  const { messages, first_seq, last_seq, num_deleted = 0, deleted = [] } = info.state
  return {
    epoch: info.created,
    firstSequence: first_seq,
    lastSequence: last_seq,
    messages,
    dropsBecause: dropsBecause(info.config),
    removed: isListed && deleted.length === num_deleted ? deleted : undefined,
  }
}

async function detailedInfo(connection: NatsConnection): Promise<DetailedInfo> {
  const subject = `$JS.API.STREAM.INFO.${STREAMS.features}`
  const answer = await connection
    .request(subject, JSON.stringify({ deleted_details: true }), { timeout: LIST_TIMEOUT_MS })
    .catch((cause: unknown) => {
      throw new PeltonError('broker-unavailable', `JetStream does not answer ${subject}`, {}, cause)
    })
  const reply = answer.json<DetailedInfo & { error?: ConstructorParameters<typeof ApiRefusal>[1] }>()
  if (reply.error !== undefined) throw new ApiRefusal(subject, reply.error)
  return reply
}

function dropsBecause(config: Readonly<Record<string, unknown>>): string | undefined {
  if (Number(config.max_age ?? 0) > 0) return 'it has a max_age'
  return config.discard === 'old' ? 'it discards the oldest when full' : undefined
}

/** The sequences FEATURES held, from `first` on. */
export function storedSet(features: StoredFeatures, first: number): SequenceSet | undefined {
  const { removed, messages, firstSequence, lastSequence } = features
  if (messages === 0) return new SequenceSet(first, lastSequence)
  if (removed === undefined) return undefined
  const stored = new SequenceSet(first, lastSequence)
  stored.addRange([firstSequence, lastSequence])
  for (const sequence of removed) stored.delete(sequence)
  return stored
}

/** Tokens that wait in RETRIES, scheduled or due. Incomplete under heavy change: look the rest up one by one. */
export async function readWaitingTokens(connection: NatsConnection): Promise<ReadonlySet<string>> {
  const { counts } = await countSubjects(connection, STREAMS.retries, '>', 100)
  return new Set([...counts.keys()].map((subject) => subject.slice(subject.lastIndexOf('.') + 1)))
}

/** Whether a stream's leader holds a message: by sequence, or the last of a subject (wildcards allowed). */
export async function isStored(
  connection: NatsConnection,
  stream: string,
  which: { readonly seq: number } | { readonly last_by_subj: string },
): Promise<boolean> {
  const reply = await findApi(connection, `STREAM.MSG.GET.${stream}`, NOT_FOUND.message, which)
  return reply !== undefined
}

/** Where an event waits for its retry. A schedule becomes due, never the other way: so the schedule is asked first. */
export async function isRetryWaiting(connection: NatsConnection, token: string): Promise<boolean> {
  for (const root of ['retries', 'due']) {
    if (await isStored(connection, STREAMS.retries, { last_by_subj: `${root}.*.*.*.${token}` })) return true
  }
  return false
}

const LOOKUPS_AT_ONCE = 128

/** Asks for each item, many at once. Returns those for which the answer is yes. */
export async function thoseThat<Item>(
  items: readonly Item[],
  ask: (item: Item) => Promise<boolean>,
): Promise<Item[]> {
  const found: Item[] = []
  const left = items[Symbol.iterator]()
  const work = async (): Promise<void> => {
    for (const item of left) if (await ask(item)) found.push(item)
  }
  await Promise.all(Array.from({ length: Math.min(LOOKUPS_AT_ONCE, items.length) }, work))
  return found
}
