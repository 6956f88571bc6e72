import type { FairTime, SourceShare } from './fair-time.ts'

/** So many sources are remembered before it is looked who is behind again. */
const MOST_REMEMBERED = 64

/** What waits of one model in one lane, of whatever kind, and what each of its sources has of it. */
export class ModelLane {
  readonly time: FairTime
  #rows = 0
  /** Sources that wait. */
  #active = 0
  /** Those that wait, and those that have had more than others: until time has caught up with them. */
  readonly #shares = new Map<string, SourceShare>()
  #mostRemembered = MOST_REMEMBERED

  constructor(time: FairTime) {
    this.time = time
  }

  /** Rows that wait. */
  get rows(): number {
    return this.#rows
  }

  shareOf(source: string): SourceShare {
    const known = this.#shares.get(source)
    if (known !== undefined) return known
    if (this.#shares.size >= this.#mostRemembered) this.#forget()
    const share = { finish: 0, waiting: 0 }
    this.#shares.set(source, share)
    return share
  }

  /** An item comes. @returns when it starts, in fair time */
  came(share: SourceShare, rows: number): number {
    this.#rows += rows
    if (share.waiting === 0) this.#active++
    return this.time.came(share, rows)
  }

  /** An item waits no more. */
  went(share: SourceShare, rows: number): void {
    this.#rows -= rows
    this.time.went(share)
    if (share.waiting === 0) this.#active--
  }

  /** When the next item of a source would start, in fair time. */
  nextStartOf(source: string): number {
    return Math.max(this.time.now, this.#shares.get(source)?.finish ?? 0)
  }

  /** Rows that go before an item that starts at this time: until then each source that waits has had as many, at most. */
  rowsBefore(start: number): number {
    return Math.min(this.#rows, Math.ceil((start - this.time.now) * this.#active))
  }

  #forget(): void {
    for (const [source, { finish, waiting }] of this.#shares)
      if (waiting === 0 && finish <= this.time.now) this.#shares.delete(source)
    this.#mostRemembered = Math.max(MOST_REMEMBERED, 2 * this.#shares.size)
  }
}
