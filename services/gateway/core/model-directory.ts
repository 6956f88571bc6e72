import type { NatsConnection } from '@nats-io/transport-node'
import { type AllPools, followAllPools, type SeenPool } from '../../../shared/operations/models/all-pools.ts'
import type { ModelRecord } from '../../../shared/operations/models/model-record.ts'
import { messageOf } from '../../../shared/sdk/errors.ts'
import type { ModelDirectory } from './core.ts'

/** How old what is told may be, milliseconds; a name that is not found is looked for again after {@link MISSED_MS}. */
const FRESH_MS = 250
const MISSED_MS = 20
const AGAIN_MS = 1_000

/** A directory that follows the records until it is closed. */
export interface FollowingDirectory extends ModelDirectory {
  /** Resolves once the records were read, or will not be because it is closed. */
  readonly ready: Promise<void>
  close(): Promise<void>
}

/** @param onProblem told when the records cannot be read, once until they can */
export function followModels(
  connection: NatsConnection,
  onProblem: (text: string) => void,
): FollowingDirectory {
  return new Following(connection, onProblem)
}

interface Pool {
  readonly records: ReadonlyMap<string, ModelRecord>
  readonly all: readonly ModelRecord[]
  readonly alive: readonly string[]
}

const NO_POOL: Pool = { records: new Map(), all: [], alive: [] }

class Following implements FollowingDirectory {
  readonly ready: Promise<void>
  isRead = false
  readonly #connection: NatsConnection
  readonly #onProblem: (text: string) => void
  #pools: AllPools
  #seen: ReadonlyMap<string, Pool> = new Map()
  #seenAt = Number.NEGATIVE_INFINITY
  #again: NodeJS.Timeout | undefined
  #isWell = true
  #isClosed = false
  #onRead: () => void = () => undefined

  constructor(connection: NatsConnection, onProblem: (text: string) => void) {
    this.#connection = connection
    this.#onProblem = onProblem
    this.ready = new Promise((resolve) => {
      this.#onRead = resolve
    })
    this.#pools = this.#follow()
  }

  find(pool: string, model: string): ModelRecord | undefined {
    return this.#pool(pool, FRESH_MS).records.get(model) ?? this.#pool(pool, MISSED_MS).records.get(model)
  }

  all(pool: string): readonly ModelRecord[] {
    return this.#pool(pool, MISSED_MS).all
  }

  servedVersions({ pool, serving }: ModelRecord): readonly string[] {
    const { alive } = this.#pool(pool, FRESH_MS)
    const versions = new Set(alive.flatMap((worker) => serving[worker]?.versions ?? []))
    return [...versions].sort((one, other) => one.localeCompare(other, 'en', { numeric: true }))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#again)
    this.#onRead() // nobody waits for what is closed
    await this.#pools.close()
  }

  /** A follower goes on by itself once it has read everything; one that never did is begun anew. */
  #follow(): AllPools {
    const pools = followAllPools(this.#connection)
    pools.ready.then(
      () => {
        if (this.#isClosed) return
        this.isRead = true
        this.#isWell = true
        this.#seenAt = Number.NEGATIVE_INFINITY
        this.#onRead()
      },
      (thrown: unknown) => this.#beginAnew(pools, thrown),
    )
    return pools
  }

  #beginAnew(pools: AllPools, thrown: unknown): void {
    if (this.#isClosed) return
    if (this.#isWell) this.#onProblem(`what models there are is not known: ${messageOf(thrown)}`)
    this.#isWell = false
    void pools.close()
    this.#again = setTimeout(() => {
      this.#pools = this.#follow()
    }, AGAIN_MS).unref()
  }

  /** All is put in order anew at most so often: there is a look for each request. */
  #pool(name: string, maxAgeMs: number): Pool {
    const now = performance.now()
    if (now - this.#seenAt > maxAgeMs) {
      this.#seenAt = now
      this.#seen = new Map(this.#pools.read().map((seen) => [seen.pool, inOrder(seen)]))
    }
    return this.#seen.get(name) ?? NO_POOL
  }
}

function inOrder({ records, workers }: SeenPool): Pool {
  return {
    records: new Map(records.map((record) => [record.model, record])),
    all: records,
    alive: workers,
  }
}
