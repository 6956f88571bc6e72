/** How exactly times are kept, milliseconds. */
export const TICK_MS = 10

/**
 * Items by the time at which each shall be looked at, kept to a tick, never early. Adding and taking cost the same however
 * many there are. Nothing is taken out before its time: what is over by then is passed over by whoever takes it.
 */
export class Wheel<Item> {
  readonly #ticks = new Map<number, Item[]>()
  #next = 0

  /** @param atMs of a clock that never goes back */
  add(atMs: number, item: Item): void {
    const tick = Math.max(Math.ceil(atMs / TICK_MS), this.#next)
    const items = this.#ticks.get(tick)
    if (items === undefined) this.#ticks.set(tick, [item])
    else items.push(item)
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

  clear(): void {
    this.#ticks.clear()
  }

  #takeSome(last: number, due: Item[]): void {
    const passed = [...this.#ticks.keys()].filter((tick) => tick <= last).sort((one, other) => one - other)
    for (const tick of passed) this.#takeTick(tick, due)
  }

  #takeTick(tick: number, due: Item[]): void {
    const items = this.#ticks.get(tick)
    if (items === undefined) return
    this.#ticks.delete(tick)
    for (const item of items) due.push(item)
  }
}
