import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { NatsConnection } from '@nats-io/transport-node'
import { subjects, tokenOfSubject } from '../../sdk/contract/subjects.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { lastOfSubject } from '../../sdk/jetstream/api.ts'
import { type BucketFollower, followBucket, type KeyChange } from '../models/bucket-follower.ts'
import { type ApiKey, decodeApiKey } from './key-record.ts'
import { hashSecret, readKey } from './key-text.ts'
import { unreadable } from './keys.ts'

/** The keys of the gateway, kept in memory by a follower of their bucket. */
export interface KeyFollower {
  /** Resolves once all keys were read. Rejects with `not-provisioned` where the bucket is missing; that is tried again. */
  readonly ready: Promise<void>
  /**
   * The key that a text is; `undefined` for one that is unknown, wrong or revoked. Takes as long for an id that is unknown as
   * for a wrong secret. What it says holds only while {@link KeyFollower.isFresh}.
   */
  find(text: string): ApiKey | undefined
  /**
   * Whether the leader of the bucket has confirmed within the last five seconds that no change is missing here. Else a key
   * may have been revoked without a word reaching this process, and none is to be let in.
   */
  readonly isFresh: boolean
  /** How many keys are good. */
  readonly count: number
  /**
   * Waits until it is fresh.
   *
   * @param patienceMs how long at most
   * @returns whether it is
   */
  untilFresh(patienceMs: number): Promise<boolean>
  close(): Promise<void>
}

export interface FollowKeysOptions {
  /** Told what cannot be read or followed, in sentences. Never holds a secret. */
  readonly onProblem?: (text: string) => void
  /** How often the leader is asked, milliseconds. @default 1_000 */
  readonly everyMs?: number
}

/** How long a key may be taken after it was revoked, milliseconds. */
const FRESH_MS = 5_000
const EVERY_MS = 1_000
/** What a secret is held against where there is no such key: equal to the hash of nothing that is known. */
const NOBODY = randomBytes(32)

/** Follows the keys of the gateway until it is closed. */
export function followKeys(connection: NatsConnection, options: FollowKeysOptions = {}): KeyFollower {
  return new Follower(connection, options)
}

interface Known {
  readonly key: ApiKey
  readonly hash: Buffer
}

/**
 * The follower of the bucket is told of changes at once, but may hear from a server that is cut off and has nothing to tell.
 * So the leader is asked as well: where its last change is known here, none was missing when it was asked.
 */
class Follower implements KeyFollower {
  readonly ready: Promise<void>
  readonly #connection: NatsConnection
  readonly #onProblem: (text: string) => void
  readonly #asking: NodeJS.Timeout
  readonly #waiting = new Set<() => void>()
  #keys = new Map<string, Known>()
  #follower: BucketFollower
  /** Revision of the last change that is known; undefined until all keys were read. */
  #revision: number | undefined
  /** When the leader was asked that confirmed last. */
  #confirmedAt = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor(connection: NatsConnection, { onProblem, everyMs = EVERY_MS }: FollowKeysOptions) {
    this.#connection = connection
    this.#onProblem = onProblem ?? (() => undefined)
    this.#follower = this.#follow()
    this.ready = this.#follower.ready
    // An answer that does not come is not waited for: the next question may find another leader.
    this.#asking = setInterval(() => void this.#ask(), everyMs).unref()
  }

  find(text: string): ApiKey | undefined {
    const parts = readKey(text)
    if (parts === undefined) return undefined // its form is no secret
    const known = this.#keys.get(parts.id)
    const isRight = timingSafeEqual(hashSecret(parts.secret), known?.hash ?? NOBODY)
    return isRight && known?.key.revokedAt === undefined ? known?.key : undefined
  }

  get count(): number {
    let count = 0
    for (const { key } of this.#keys.values()) if (key.revokedAt === undefined) count++
    return count
  }

  get isFresh(): boolean {
    return !this.#isClosed && performance.now() - this.#confirmedAt < FRESH_MS
  }

  untilFresh(patienceMs: number): Promise<boolean> {
    if (this.isFresh || this.#isClosed) return Promise.resolve(this.isFresh)
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(overdue)
        this.#waiting.delete(end)
        resolve(this.isFresh)
      }
      const overdue = setTimeout(end, patienceMs)
      this.#waiting.add(end)
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#asking)
    this.#endWaiting()
    await this.#follower.close()
  }

  #follow(): BucketFollower {
    // One that was replaced has nothing more to say.
    const isCurrent = (): boolean => follower === undefined || follower === this.#follower
    let follower: BucketFollower | undefined
    follower = followBucket(this.#connection, {
      stream: STORES.keys,
      filter: subjects.apiKeys(),
      onWhole: (all) => isCurrent() && this.#replace(all),
      onChange: (change) => isCurrent() && this.#take(change),
      onIdle: () => undefined,
      onProblem: (text) => isCurrent() && this.#onProblem(text),
    })
    return follower
  }

  #replace(all: readonly KeyChange[]): void {
    this.#keys = new Map()
    this.#revision = 0
    for (const change of all) this.#take(change)
    void this.#ask()
  }

  #take({ subject, revision, body }: KeyChange): void {
    const id = tokenOfSubject(subject)
    this.#revision = Math.max(this.#revision ?? 0, revision)
    this.#keys.delete(id) // what cannot be read any more lets nobody in
    if (body === undefined || body.length === 0) return
    const read = decodeApiKey(body, id)
    if (read.kind === 'key') this.#keys.set(id, { key: read.key, hash: Buffer.from(read.key.hash, 'hex') })
    else this.#onProblem(unreadable(id, read.problem))
  }

  async #ask(): Promise<void> {
    const known = this.#revision
    const askedAt = performance.now()
    if (known === undefined || this.#isClosed) return
    const last = await this.#lastAtLeader()
    if (last === undefined || this.#isClosed) return
    if (last < known) this.#readAnew(known)
    else if (last <= (this.#revision ?? 0)) this.#confirm(askedAt)
  }

  /** Revision of the last change, as the leader has it; undefined where it does not answer. */
  async #lastAtLeader(): Promise<number | undefined> {
    try {
      return (await lastOfSubject(this.#connection, STORES.keys, subjects.apiKeys()))?.sequence ?? 0
    } catch {
      return undefined // what is wrong is said by the follower of the bucket, or seen as not fresh
    }
  }

  /**
   * The last key was removed without a word, or the bucket made anew. Others that were removed so are missed by the next
   * reading alone: a key is ended by revoking it.
   */
  #readAnew(known: number): void {
    if (this.#revision === undefined || this.#revision < known) return // it is under way
    const before = this.#follower
    this.#revision = undefined
    this.#follower = this.#follow()
    void before.close()
  }

  #confirm(askedAt: number): void {
    this.#confirmedAt = Math.max(this.#confirmedAt, askedAt)
    if (this.isFresh) this.#endWaiting()
  }

  #endWaiting(): void {
    for (const end of [...this.#waiting]) end()
  }
}
