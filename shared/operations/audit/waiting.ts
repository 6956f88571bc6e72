import type { NatsConnection } from '@nats-io/transport-node'
import { tokenOfSubject } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { findApi, NOT_FOUND } from '../../sdk/jetstream/api.ts'
import { countSubjects } from '../broker/snapshot.ts'
import { readStoredSequences, type StoredSequences } from '../broker/stored-sequences.ts'

/** What FEATURES holds at one moment. */
export interface StoredFeatures extends StoredSequences {
  /** Why events may leave FEATURES although no worker settled them; undefined as Pelton provisions it. */
  readonly dropsBecause: string | undefined
}

/** Reads which sequences FEATURES holds, without a consumer: a work queue takes no second one. */
export async function readFeatures(connection: NatsConnection, maxRemoved?: number): Promise<StoredFeatures> {
  const stored = await readStoredSequences(connection, STREAMS.features, maxRemoved)
  return { ...stored, dropsBecause: dropsBecause(stored.config) }
}

function dropsBecause(config: Readonly<Record<string, unknown>>): string | undefined {
  if (Number(config.max_age ?? 0) > 0) return 'it has a max_age'
  return config.discard === 'old' ? 'it discards the oldest when full' : undefined
}

/** Tokens that wait in RETRIES, scheduled or due. Incomplete under heavy change: look the rest up one by one. */
export async function readWaitingTokens(connection: NatsConnection): Promise<ReadonlySet<string>> {
  return new Set([...(await readWaitingSubjects(connection))].map(tokenOfSubject))
}

/** Subjects that hold something in RETRIES, likewise. */
export async function readWaitingSubjects(connection: NatsConnection): Promise<ReadonlySet<string>> {
  const { counts } = await countSubjects(connection, STREAMS.retries, '>', 100)
  return new Set(counts.keys())
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
