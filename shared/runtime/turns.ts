/** Bytes of work one turn of a loop may have: what one event of 64 KB is. An element counts two, as the least JSON of it. */
export const TURN_BYTES = 65_536

/**
 * Shares the turns of a loop: in one turn no more work is begun than one event of 64 KB is, counted in bytes. A single
 * piece that is larger has a turn for itself, so whoever can cut its work up, does. Pieces that wait go on in their order.
 */
export class Turns {
  readonly #next: (begin: () => void) => void
  readonly #waiting: { readonly bytes: number; readonly begin: () => void }[] = []
  #taken = 0
  #isBegun = false

  /** @param next calls back in the next turn of the loop */
  constructor(next: (begin: () => void) => void = (begin) => void setImmediate(begin)) {
    this.#next = next
  }

  /** Whether work of so many bytes may be done in this turn; from then on it counts. */
  take(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#hasRoom(bytes)) return false
    this.#count(bytes)
    return true
  }

  /** Resolves in a turn that has room for work of so many bytes, which then counts. */
  async spend(bytes: number): Promise<void> {
    if (this.take(bytes)) return
    await new Promise<void>((begin) => this.#waiting.push({ bytes, begin }))
  }

  #hasRoom(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= TURN_BYTES
  }

  #count(bytes: number): void {
    this.#taken += bytes
    if (this.#isBegun) return
    this.#isBegun = true
    this.#next(() => this.#begin())
  }

  #begin(): void {
    this.#isBegun = false
    this.#taken = 0
    let first = this.#waiting[0]
    while (first !== undefined && this.#hasRoom(first.bytes)) {
      this.#waiting.shift()
      this.#count(first.bytes)
      first.begin()
      first = this.#waiting[0]
    }
  }
}
