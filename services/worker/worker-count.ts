/** How long the highest count is held to, milliseconds: a rolling restart is shorter, and so is a bucket that is full by turns. */
export const REMEMBERED_MS = 10 * 60_000

/** As many as there may be while nobody can say: what they share then lasts for so many. */
export const UNKNOWN_WORKERS = 100

export interface WorkerCountDeps {
  /** Workers of the pool whose presence was heard lately. */
  readonly alive: () => readonly string[]
  /** This worker. */
  readonly own: string
  /** Whether its presence was ever taken: one of its name that is heard is of the process before it until then. */
  readonly isPresent: () => boolean
  /** Of a clock that never goes back, milliseconds. */
  readonly now: () => number
}

interface Seen {
  readonly workers: number
  /** How long counts were known when it was seen. */
  readonly atMs: number
}

/**
 * How many workers of the pool share what is for all of them. Where the bucket of presences refuses, living workers are
 * not heard, and each would take the whole for itself. So the highest count of the last ten minutes holds. A worker that
 * does not hear its own presence cannot know how many there are: no count grows old then, and without one there are
 * {@link UNKNOWN_WORKERS}.
 */
export class WorkerCount {
  readonly #deps: WorkerCountDeps
  /** The highest first; each later one is lower. */
  #seen: Seen[] = []
  /** How long counts were known, all times together. */
  #knownMs = 0
  /** When the last count was seen; undefined while there is none. */
  #lastMs: number | undefined

  constructor(deps: WorkerCountDeps) {
    this.#deps = deps
    this.look()
  }

  /** Counts them now: to be called more often than every ten minutes. */
  look(): void {
    const { alive, own, isPresent, now } = this.#deps
    const heard = alive()
    const nowMs = now()
    if (!isPresent() || !heard.includes(own)) {
      this.#lastMs = undefined
      return
    }
    this.#knownMs += this.#lastMs === undefined ? 0 : nowMs - this.#lastMs
    this.#lastMs = nowMs
    const workers = heard.length
    const higher = this.#seen.filter((seen) => seen.workers > workers)
    const isOver = ({ atMs }: Seen): boolean => this.#knownMs - atMs > REMEMBERED_MS
    this.#seen = [...higher.filter((seen) => !isOver(seen)), { workers, atMs: this.#knownMs }]
  }

  /** The highest count that holds now. */
  get most(): number {
    this.look()
    return this.#seen[0]?.workers ?? UNKNOWN_WORKERS
  }
}
