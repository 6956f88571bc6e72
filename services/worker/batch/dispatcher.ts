import type { Batch, Prepared } from '../prepare/prepared.ts'
import { Batcher } from './batcher.ts'

export interface DispatcherOptions {
  /** Batches that may run at once. */
  readonly places: number
  /** How long the first event of a batch waits for others, milliseconds. */
  readonly lingerMs: number
  /** Starts a batch. Its place is taken until it is freed. */
  readonly start: (batch: Batch) => void
}

/**
 * Gives every free place the next batch that is full or has waited long enough. An event that must run alone waits
 * until every place is free, and has them all.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #batcher: Batcher<Prepared>
  readonly #alone: Prepared[] = []
  readonly #running = new Set<Batch>()
  #flush = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#batcher = new Batcher(options.lingerMs)
  }

  /** Batches that have a place now. */
  get running(): ReadonlySet<Batch> {
    return this.#running
  }

  /** Events wait for their batches, by kind, in their order. */
  add(batch: Batch): void {
    const now = performance.now()
    for (const prepared of batch) {
      if (prepared.runsAlone) this.#alone.push(prepared)
      else this.#batcher.add(prepared.kind, prepared.maxBatchRows, prepared, now)
    }
    this.#dispatch()
  }

  /** The run of a batch is over: its place goes to the next one. */
  free(batch: Batch): void {
    if (this.#running.delete(batch)) this.#dispatch()
  }

  /** From now on nothing waits for others. */
  flush(): void {
    this.#flush = true
    this.#dispatch()
  }

  #dispatch(): void {
    for (let batch = this.#next(); batch !== undefined; batch = this.#next()) this.#start(batch)
    clearTimeout(this.#timer)
    const dueAt = this.#hasPlace() ? this.#batcher.nextDueAt() : undefined
    if (dueAt === undefined) return
    this.#timer = setTimeout(() => this.#dispatch(), Math.max(0, dueAt - performance.now()))
  }

  #start(batch: Batch): void {
    this.#running.add(batch)
    this.#options.start(batch)
  }

  #next(): Batch | undefined {
    if (!this.#hasPlace()) return undefined
    if (this.#alone.length === 0) return this.#batcher.take(performance.now(), this.#flush)
    return this.#running.size === 0 ? this.#alone.splice(0, 1) : undefined
  }

  #hasPlace(): boolean {
    const [first] = this.#running
    return this.#running.size < this.#options.places && first?.[0]?.runsAlone !== true
  }
}
