import type { NatsConnection } from '@nats-io/transport-node'
import { encodeSegment, type Lane, subjects, tokenOfSubject } from '../../sdk/contract/subjects.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { PeltonError, showValue } from '../../sdk/errors.ts'
import { ApiRefusal, lastOfSubject, messagesOf, NOT_FOUND, type StoredCopy } from '../../sdk/jetstream/api.ts'
import { notOnBroker } from '../../sdk/jetstream/not-on-broker.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { patiently } from '../broker/patience.ts'
import { compareAndSet } from '../records/compare-and-set.ts'
import { type ApiKey, decodeApiKey, encodeApiKey } from './key-record.ts'
import { hashSecret, isKeyId, newKeyParts, readKey, showKey } from './key-text.ts'

/** What keys are read and changed over. */
export interface KeyStore {
  readonly connection: NatsConnection
  readonly window: PublishWindow
}

/** A key that is asked for. */
export interface NewKey {
  /** 1 to 64 characters that can be seen. */
  readonly name: string
  /** Exact names; 1 to 1,000 of them, or every model. */
  readonly models: readonly string[] | 'all'
  readonly pool: string
  readonly highestLane: Lane
  /** 1 to 64 characters of `[A-Za-z0-9_.-]`. */
  readonly quotaClass?: string | undefined
  /** Who makes it. */
  readonly by: string
}

/** What a bucket of keys holds. */
export interface ListedKeys {
  /** By the time they were made. */
  readonly keys: readonly ApiKey[]
  /** What cannot be read, in sentences: no gateway takes such a key. */
  readonly problems: readonly string[]
}

const STREAM = STORES.keys
const MOST_MODELS = 1_000
const NAME = /^(?! )[^\p{C}]{1,64}(?<! )$/u
const QUOTA_CLASS = /^[A-Za-z0-9_.-]{1,64}$/
const REVOKE_JUNK = 'No gateway takes it: remove it from the bucket with `nats kv del`.'

/**
 * Makes a key and stores what is kept of it.
 *
 * @returns the key as its holder needs it, which nothing can tell again, and its record
 * @throws PeltonError `invalid-argument` for what cannot be in a key; `broker-unavailable` when the broker does not answer
 *   for a minute; `not-provisioned` without the bucket
 */
export async function createKey(
  store: KeyStore,
  wish: NewKey,
  now: Date = new Date(),
): Promise<{ readonly text: string; readonly key: ApiKey }> {
  checkWish(wish)
  const { by: createdBy, models, ...rest } = wish
  const kept = models === 'all' ? models : [...new Set(models)]
  for (;;) {
    const parts = newKeyParts()
    const { id, secret } = parts
    const hash = hashSecret(secret).toString('hex')
    const key: ApiKey = { ...rest, id, hash, models: kept, createdAt: now.toISOString(), createdBy }
    // Asked first: a bucket that is missing answers so, and a publish to it nothing at all.
    if ((await readLast(store, id)) !== undefined) continue
    if ((await put(store, key, 0)) !== undefined) return { text: showKey(parts), key }
  }
}

/**
 * Every key, also those that were revoked, as the leader has them.
 *
 * @throws PeltonError `broker-unavailable` when the broker does not answer for a minute; `not-provisioned` without the bucket
 */
export async function listKeys(connection: NatsConnection): Promise<ListedKeys> {
  const stored = await asked(() => lastOfEach(connection))
  const keys: ApiKey[] = []
  const problems: string[] = []
  for (const [id, { body }] of stored) {
    const read = decodeApiKey(body, id)
    if (read.kind === 'key') keys.push(read.key)
    else problems.push(unreadable(id, read.problem))
  }
  keys.sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id))
  return { keys, problems }
}

/**
 * Revokes a key by compare-and-set: from then on it is refused, within five seconds by every gateway. One that was revoked
 * before stays as it is.
 *
 * @param which its id, the key itself, or its name where only one key that is not revoked has it
 * @param by who revokes it
 * @returns its record, and whether it was revoked by this
 * @throws PeltonError `invalid-argument` where there is no such key, or several have the name; `conflict` for the record of a
 *   newer Pelton; `broker-unavailable` when the broker does not answer for a minute; `not-provisioned` without the bucket
 */
export async function revokeKey(
  store: KeyStore,
  which: string,
  by: string,
  now: Date = new Date(),
): Promise<{ readonly key: ApiKey; readonly isRevokedNow: boolean }> {
  const id = await idOf(store, which)
  for (;;) {
    const copy = await readLast(store, id)
    if (copy === undefined || copy.body.length === 0) throw noSuchKey(id)
    const key = readable(copy.body, id)
    if (key.revokedAt !== undefined) return { key, isRevokedNow: false }
    const revoked: ApiKey = { ...key, revokedAt: now.toISOString(), revokedBy: by }
    if ((await put(store, revoked, copy.sequence)) !== undefined) return { key: revoked, isRevokedNow: true }
  }
}

function readLast({ connection }: KeyStore, id: string): Promise<StoredCopy | undefined> {
  return asked(() => lastOfSubject(connection, STREAM, subjects.apiKey(id)))
}

/** @throws PeltonError `not-provisioned` without the bucket */
function asked<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  return patiently(ask).catch((thrown: unknown) => {
    if (!(thrown instanceof ApiRefusal) || thrown.code !== NOT_FOUND.stream) throw thrown
    throw notOnBroker(`stream ${STREAM}`, thrown)
  })
}

function put({ connection, window }: KeyStore, key: ApiKey, expected: number): Promise<number | undefined> {
  const subject = subjects.apiKey(key.id)
  return compareAndSet(connection, window, { stream: STREAM, subject, body: encodeApiKey(key), expected })
}

/** By id; without those that were removed from the bucket. */
async function lastOfEach(connection: NatsConnection): Promise<ReadonlyMap<string, StoredCopy>> {
  const last = new Map<string, StoredCopy>()
  for await (const copy of messagesOf(connection, STREAM, subjects.apiKeys())) {
    const id = tokenOfSubject(copy.subject)
    if (copy.body.length === 0) last.delete(id)
    else last.set(id, copy)
  }
  return last
}

async function idOf(store: KeyStore, given: string): Promise<string> {
  const which = readKey(given)?.id ?? given // a key that leaked is at hand whole, and no error is to repeat it
  if (isKeyId(which) && (await readLast(store, which)) !== undefined) return which
  const named = (await listKeys(store.connection)).keys.filter(({ name }) => name === which)
  const working = named.filter(({ revokedAt }) => revokedAt === undefined)
  const [only, ...others] = working.length > 0 ? working : named
  if (only === undefined) throw noSuchKey(which)
  if (others.length === 0) return only.id
  throw new PeltonError('invalid-argument', `${others.length + 1} keys have this name`, {
    field: 'key',
    value: showValue(which),
    remedy: 'Name it by its id: `pelton keys list` shows them.',
  })
}

function noSuchKey(which: string): PeltonError {
  return new PeltonError('invalid-argument', 'there is no key with this id or name', {
    field: 'key',
    value: showValue(which),
    remedy: '`pelton keys list` shows all of them.',
  })
}

function readable(body: Uint8Array, id: string): ApiKey {
  const read = decodeApiKey(body, id)
  if (read.kind === 'key') return read.key
  const remedy = read.kind === 'newer' ? 'Revoke it with the Pelton that made it.' : REVOKE_JUNK
  const code = read.kind === 'newer' ? 'conflict' : 'invalid-argument'
  throw new PeltonError(code, unreadable(id, read.problem), { remedy })
}

/** What is said of a record that cannot be read. */
export function unreadable(id: string, problem: string): string {
  return `the record of key ${showValue(id)} cannot be read, and it is refused: ${problem}`
}

function checkWish({ name, models, pool, quotaClass }: NewKey): void {
  if (!NAME.test(name))
    throw unusable('name', name, 'Use 1 to 64 characters that can be seen, without a space at an end.')
  encodeSegment(pool, 'pool')
  if (quotaClass !== undefined && !QUOTA_CLASS.test(quotaClass))
    throw unusable('quotaClass', quotaClass, 'Use 1 to 64 characters of [A-Za-z0-9_.-].')
  if (models === 'all') return
  if (models.length === 0 || models.length > MOST_MODELS)
    throw unusable('models', models, `Name 1 to ${MOST_MODELS} models, or all of them.`)
  for (const model of models) encodeSegment(model, 'model')
}

function unusable(field: string, value: unknown, remedy: string): PeltonError {
  const details = { field, value: showValue(value), remedy }
  return new PeltonError('invalid-argument', 'this cannot be in a key', details)
}
