/** How exactly times are kept, milliseconds. */
export const TICK_MS = 10

/** What has a time in a wheel. */
export interface Timed {
  /** Where it is in its wheel; undefined where it is in none. Written by the wheel alone. */
  tick: number | undefined
}

/**
 * Items by the time at which each shall be looked at, kept to a tick, never early. Adding, taking and removing cost the same
 * however many there are; an item has one time, and nothing is kept of one that is removed.
 */
export class Wheel<Item extends Timed> {
  readonly #ticks = new Map<number, Set<Item>>()
  #next = 0

  /** Gives an item its time, in place of the one it had. @param atMs of a clock that never goes back */
  set(atMs: number, item: Item): void {
    this.remove(item)
    const tick = Math.max(Math.ceil(atMs / TICK_MS), this.#next)
    item.tick = tick
    const items = this.#ticks.get(tick)
    if (items === undefined) this.#ticks.set(tick, new Set([item]))
    else items.add(item)
  }

  remove(item: Item): void {
    const { tick } = item
    if (tick === undefined) return
    item.tick = undefined
    const items = this.#ticks.get(tick)
    items?.delete(item)
    if (items?.size === 0) this.#ticks.delete(tick)
  }

  /** Takes out all whose time has come, the earliest first. */
  take(nowMs: number): Item[] {
    const last = Math.floor(nowMs / TICK_MS)
    const due: Item[] = []
    // After a long time without a look there are fewer ticks with something in them than ticks that went by.
    if (last - this.#next > this.#ticks.size) this.#takeSome(last, due)
    else for (let tick = this.#next; tick <= last; tick++) this.#takeTick(tick, due)
    this.#next = Math.max(this.#next, last + 1)
    return due
  }

  #takeSome(last: number, due: Item[]): void {
    const passed = [...this.#ticks.keys()].filter((tick) => tick <= last).sort((one, other) => one - other)
    for (const tick of passed) this.#takeTick(tick, due)
  }

  #takeTick(tick: number, due: Item[]): void {
    const items = this.#ticks.get(tick)
    if (items === undefined) return
    this.#ticks.delete(tick)
    for (const item of items) {
      item.tick = undefined
      due.push(item)
    }
  }
}
