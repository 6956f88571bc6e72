/** What a source has of one lane of a model. */
export interface SourceShare {
  /** When, in fair time, all that came of it would be over. */
  finish: number
  /** Items of it that wait. */
  waiting: number
}

/** With each item that comes fair time goes on by so much. */
const TICK = 1 / 1_024

/**
 * The clock of a lane by which its sources take turns, in rows: start-time fair queueing (Goyal, Vin and Cheng 1996). An item
 * starts when its source's last one is over, or now: a source that sends little never waits behind the backlog of another. It
 * ticks with each item that comes, so that among equals the first goes first, and nobody waits forever behind sources that
 * are always new.
 */
export class FairTime {
  #now = 0
  /** When all that ever came would be over. */
  #last = 0
  #waiting = 0

  get now(): number {
    return this.#now
  }

  /** An item comes. @returns when it starts, in fair time */
  came(share: SourceShare, rows: number): number {
    const start = Math.max(this.#now, share.finish)
    share.finish = start + rows
    share.waiting++
    this.#waiting++
    this.#last = Math.max(this.#last, share.finish)
    this.#now += TICK
    return start
  }

  /** A batch takes items from the one on that starts at this time. */
  goOn(start: number): void {
    this.#now = Math.max(this.#now, start)
  }

  /** An item waits no more. Where none does, all sources begin anew. */
  went(share: SourceShare): void {
    share.waiting--
    if (--this.#waiting === 0) this.goOn(this.#last)
  }
}
