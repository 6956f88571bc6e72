import type { NatsConnection } from '@nats-io/transport-node'
import { readPoolRecord, subjects } from '../../sdk/contract/subjects.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { type BucketFollower, followBucket, type KeyChange } from './bucket-follower.ts'
import { decodeModelRecord, type ModelRecord } from './model-record.ts'
import { Workers } from './presence.ts'

/** What one pool has: its models, and its workers that are alive. */
export interface SeenPool {
  readonly pool: string
  readonly workers: readonly string[]
  readonly records: readonly ModelRecord[]
}

/** The records of all pools, kept in memory by a follower of the bucket: for those who look on, and write nothing. */
export interface AllPools {
  /**
   * Resolves once everything was read. Rejects with `not-provisioned` where the bucket is missing, `broker-unavailable`
   * where it cannot be followed; that is tried again.
   */
  readonly ready: Promise<void>
  /** What is known now, pool by pool. */
  read(): readonly SeenPool[]
  close(): Promise<void>
}

/** Follows what the pools have until it is closed. */
export function followAllPools(connection: NatsConnection): AllPools {
  const pools = new Pools()
  let refuse: (problem: string) => void = () => undefined
  const refused = new Promise<never>((_resolve, reject) => {
    refuse = (problem) => reject(new PeltonError('broker-unavailable', problem))
  })
  const follower: BucketFollower = followBucket(connection, {
    stream: STORES.models,
    filter: subjects.allPoolRecords(),
    onWhole: (keys) => pools.replace(keys),
    onChange: (change) => pools.take(change),
    onIdle: () => pools.nothingNew(),
    onProblem: (text) => refuse(text),
  })
  const ready = Promise.race([follower.ready, refused])
  ready.catch(() => undefined) // whoever waits for it is told
  return { ready, read: () => pools.read(), close: () => follower.close() }
}

interface Pool {
  readonly workers: Workers
  readonly records: Map<string, ModelRecord>
}

class Pools {
  readonly #pools = new Map<string, Pool>()

  replace(keys: readonly KeyChange[]): void {
    const before = new Map(this.#pools)
    this.#pools.clear()
    // Who was alive is known from before: a broker that was away a while says nothing against anybody.
    for (const [pool, { workers }] of before) this.#pools.set(pool, { workers, records: new Map() })
    for (const key of keys) this.take(key)
  }

  take({ subject, storedAt, body }: KeyChange): void {
    const key = readPoolRecord(subject)
    if (key === undefined) return
    const { workers, records } = this.#of(key.pool)
    if (key.kind === 'worker') workers.heard(key.name, body === undefined, storedAt, performance.now())
    else if (body === undefined) records.delete(key.name)
    else {
      const read = decodeModelRecord(body, key.pool, key.name)
      if (read.kind === 'record') records.set(key.name, read.record)
    }
  }

  nothingNew(): void {
    for (const { workers } of this.#pools.values()) workers.nothingNew(performance.now())
  }

  read(): readonly SeenPool[] {
    return [...this.#pools].map(([pool, { workers, records }]) => ({
      pool,
      workers: workers.alive,
      records: [...records.values()],
    }))
  }

  #of(name: string): Pool {
    const pool = this.#pools.get(name) ?? { workers: new Workers(), records: new Map() }
    this.#pools.set(name, pool)
    return pool
  }
}
