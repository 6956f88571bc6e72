/** Of events that come together so many are looked at for deadline and source, and stand for the others. */
const LOOKED_AT = 4

/** Those that are looked at of events which come together. */
export class Sample {
  /** How many events each of them stands for. */
  readonly weight: number
  #skip: number

  /** @param first in [0, 1): where the first of them lies */
  constructor(events: number, first: number) {
    this.weight = Math.ceil(events / LOOKED_AT)
    this.#skip = Math.floor(first * this.weight)
  }

  /** Whether the next event is one of them. */
  takesNext(): boolean {
    if (this.#skip-- > 0) return false
    this.#skip = this.weight - 1
    return true
  }
}
