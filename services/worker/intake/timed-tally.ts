/** How many events, and how many bytes. */
export interface Amount {
  readonly events: number
  readonly bytes: number
}

export const NOTHING: Amount = { events: 0, bytes: 0 }

/** What comes due within so many milliseconds is counted out together. */
const TICK_MS = 250

interface Entry {
  readonly key: string
  readonly bytes: number
  readonly tick: number
}

/**
 * Counts what is away for a time and comes back by itself: events given back with a delay, copies in the retry lane. Each
 * counts until its time has come, or until it is counted anew. A timer runs only while something is counted.
 */
export class TimedTally {
  readonly #counts = new Map<string, Amount>()
  readonly #entries = new Map<string, Entry>()
  /** By the tick in which they count no more. */
  readonly #ending = new Map<number, Set<string>>()
  readonly #onLess: () => void
  readonly #now: () => number
  #timer: NodeJS.Timeout | undefined

  /**
   * @param onLess told when something stopped counting
   * @param now a clock that never goes back, milliseconds
   */
  constructor(onLess: () => void = () => undefined, now: () => number = () => performance.now()) {
    this.#onLess = onLess
    this.#now = now
  }

  /** Counts one event under `key` for `forMs`. @param id which event: counted again, it counts once */
  add(key: string, id: string, bytes: number, forMs: number): void {
    this.#remove(id)
    const tick = Math.ceil((this.#now() + forMs) / TICK_MS)
    const ending = this.#ending.get(tick) ?? new Set()
    this.#ending.set(tick, ending.add(id))
    this.#entries.set(id, { key, bytes, tick })
    const { events, bytes: before } = this.of(key)
    this.#counts.set(key, { events: events + 1, bytes: before + bytes })
    this.#timer ??= setInterval(() => this.#count(), TICK_MS).unref()
  }

  of(key: string): Amount {
    return this.#counts.get(key) ?? NOTHING
  }

  /** By key, those that count something. */
  read(): ReadonlyMap<string, Amount> {
    return this.#counts
  }

  /** How many events count. */
  get size(): number {
    return this.#entries.size
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #count(): void {
    const now = this.#now() / TICK_MS
    let isLess = false
    for (const [tick, ending] of [...this.#ending]) {
      if (tick > now) continue
      for (const id of [...ending]) this.#remove(id)
      isLess = true
    }
    if (this.#entries.size === 0) this.close()
    if (isLess) this.#onLess()
  }

  #remove(id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    const { key, bytes, tick } = entry
    this.#entries.delete(id)
    const ending = this.#ending.get(tick)
    ending?.delete(id)
    if (ending?.size === 0) this.#ending.delete(tick)
    const { events, bytes: before } = this.of(key)
    if (events > 1) this.#counts.set(key, { events: events - 1, bytes: before - bytes })
    else this.#counts.delete(key)
  }
}
