/** A put or a removal of one key. */
export type Change =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string }

/** Writes all changes or none. `isSynced`: resolves only once they are on the disk itself. */
export type WriteBatch = (changes: readonly Change[], isSynced: boolean) => Promise<void>

export interface WriteOptions {
  readonly isSynced: boolean
  /** By how many entries these changes make the folder fuller, or emptier. */
  readonly growth: number
}

interface Failure {
  readonly cause: unknown
}

interface Pending extends WriteOptions {
  readonly changes: readonly Change[]
  readonly settle: (failure: Failure | undefined) => void
}

/** Changes in one write at most, so that the first of a crowd does not wait for the last. */
const MAX_GROUP = 1_024

/**
 * Group commit: one write at a time; what is asked for meanwhile goes into the next one together, so that many callers
 * share one sync. Writes happen in the order of asking. Each ends with the change `seal` makes of the sum of its
 * growth.
 *
 * After a write that failed, all later ones fail with the same error: LevelDB may have torn its log there, and what it
 * would write behind the tear could be lost on the next opening.
 */
export class Journal {
  readonly #write: WriteBatch
  readonly #seal: (growth: number) => Change
  readonly #pending: Pending[] = []
  #failure: Failure | undefined
  #running: Promise<void> | undefined

  constructor(write: WriteBatch, seal: (growth: number) => Change) {
    this.#write = write
    this.#seal = seal
  }

  /** Resolves once the changes are written. */
  write(changes: readonly Change[], options: WriteOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (failed: Failure | undefined): void => (failed ? reject(failed.cause) : resolve())
      this.#pending.push({ changes, ...options, settle })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    await undefined // a call within this turn of the event loop shares the first write too
    while (this.#pending.length > 0) {
      const group = this.#pending.splice(0, MAX_GROUP)
      this.#failure ??= await this.#commit(group)
      for (const { settle } of group) settle(this.#failure)
    }
    this.#running = undefined
  }

  async #commit(group: readonly Pending[]): Promise<Failure | undefined> {
    const changes = group.flatMap((pending) => pending.changes)
    const growth = group.reduce((sum, pending) => sum + pending.growth, 0)
    const isSynced = group.some((pending) => pending.isSynced)
    try {
      await this.#write([...changes, this.#seal(growth)], isSynced)
      return undefined
    } catch (cause) {
      return { cause }
    }
  }
}
