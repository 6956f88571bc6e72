import type { NatsConnection } from '@nats-io/transport-node'
import { BUCKETS, subjects } from '../../sdk/contract/subjects.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { lastOfSubject, requestApi } from '../../sdk/jetstream/api.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { patiently } from '../broker/patience.ts'
import { type ReadMessage, readMessages } from '../broker/stream-reader.ts'
import { compareAndSet } from './compare-and-set.ts'

const BUCKET = BUCKETS.replays
const STREAM = STORES.replays

/** A value and the revision to expect when it is changed. */
export interface KeptValue<Value> {
  readonly key: string
  readonly revision: number
  readonly value: Value
}

/**
 * The bucket `pelton-replays`, by compare-and-set only. Keys are read from the leader; a key is removed for good: what
 * was once held leaves no trace in the bucket.
 */
export interface KeyValue {
  get<Value>(key: string): Promise<KeptValue<Value> | undefined>
  /**
   * Stores a value if the key's revision is `expected` (0: if there is none).
   *
   * @returns the new revision, or `undefined` when another process was faster
   * @throws PeltonError `broker-unavailable` when the broker does not tell in time what became of it
   */
  put(key: string, value: unknown, expected: number): Promise<number | undefined>
  /** Removes a key up to a revision; a later one stays. */
  remove(key: string, revision: number): Promise<void>
  /**
   * The values of all keys that begin with `prefix` and a dot, and when each was stored, RFC 3339, by the broker's
   * clock.
   */
  list<Value>(prefix: string): AsyncGenerator<KeptValue<Value> & { readonly storedAt: string }>
}

const subject = subjects.replayRecord

/** The value of a key, asked for once. @throws PeltonError `broker-unavailable`, ApiRefusal without the bucket */
export async function readValue<Value>(
  connection: NatsConnection,
  key: string,
): Promise<KeptValue<Value> | undefined> {
  const copy = await lastOfSubject(connection, STREAM, subject(key))
  return copy && { key, revision: copy.sequence, value: parse<Value>(key, copy.body) }
}

/** @param patienceMs how long the broker may not answer. @default 60_000 */
export function openKeyValue(
  connection: NatsConnection,
  window: PublishWindow,
  patienceMs?: number,
): KeyValue {
  const get = <Value>(key: string): Promise<KeptValue<Value> | undefined> =>
    patiently(() => readValue<Value>(connection, key), patienceMs)
  return {
    get,
    put: (key, value, expected) => {
      const body = Buffer.from(JSON.stringify(value))
      return compareAndSet(
        connection,
        window,
        { stream: STREAM, subject: subject(key), body, expected },
        patienceMs,
      )
    },
    remove: async (key, revision) => {
      const asked = { filter: subject(key), seq: revision + 1 }
      await patiently(() => requestApi(connection, `STREAM.PURGE.${STREAM}`, asked), patienceMs)
    },
    async *list<Value>(prefix: string) {
      const start = { deliver_policy: 'last_per_subject' }
      const messages = readMessages(connection, { stream: STREAM, subject: subject(`${prefix}.>`), start })
      // A key that is changed meanwhile may come twice: its last revision counts.
      const last = new Map<string, ReadMessage>()
      for await (const message of messages) last.set(message.subject.slice(subject('').length), message)
      for (const [key, { sequence, body, storedAt }] of last)
        yield { key, revision: sequence, value: parse<Value>(key, body), storedAt }
    },
  }
}

function parse<Value>(key: string, body: Uint8Array): Value {
  try {
    return JSON.parse(Buffer.from(body).toString()) as Value
  } catch (cause) {
    const details = { field: key, remedy: `Look at it with \`nats kv get ${BUCKET} ${key}\`, and remove it.` }
    throw new PeltonError('internal', `a record in ${BUCKET} cannot be read`, details, cause)
  }
}
