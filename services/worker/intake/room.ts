import type { Lane } from '../../../shared/sdk/contract/subjects.ts'

/** Share of the room that each lane leaves to those above it: a backlog of slow events fills it for long. */
export const LEFT_BY = { high: 0, normal: 1 / 8, low: 1 / 4 } as const

/** What a worker may hold at once. */
export interface Capacity {
  readonly rows: number
  readonly bytes: number
}

/** How full a worker is. */
export interface WorkerLoad extends Capacity {
  readonly events: number
  readonly capacity: Capacity
}

/**
 * Room for deliveries, in rows and bytes. An open pull is a promise that cannot be withdrawn, so what is promised
 * counts like what is held: memory stays flat whatever the backlog.
 */
export class Room {
  readonly capacity: Capacity
  #rows = 0
  #bytes = 0
  #waiters: (() => void)[] = []

  constructor(capacity: Capacity) {
    this.capacity = capacity
  }

  get freeRows(): number {
    return Math.max(0, this.capacity.rows - this.#rows)
  }

  get freeBytes(): number {
    return Math.max(0, this.capacity.bytes - this.#bytes)
  }

  /**
   * Rows that may be taken for lane `lane`: what it has to leave to others is not there for it, whatever its events turn
   * out to have.
   */
  freeRowsFor(lane: Lane): number {
    return this.freeRows - Math.floor(this.capacity.rows * LEFT_BY[lane])
  }

  /** Rows held or promised. */
  get rows(): number {
    return this.#rows
  }

  take(rows: number, bytes: number): void {
    this.#rows += rows
    this.#bytes += bytes
  }

  release(rows: number, bytes: number): void {
    this.#rows -= rows
    this.#bytes -= bytes
    for (const wake of this.#waiters.splice(0)) wake()
  }

  /** Resolves when something was released, or at once when woken. */
  released(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Wakes whoever waits, so that it looks at its reasons again. */
  wake(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }
}
