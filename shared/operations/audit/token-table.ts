/**
 * Which of millions of tokens were seen before, in 8 bytes each. It remembers 64 bits of a token: a caller that must be
 * sure that a token came twice asks the broker.
 */
export class TokenTable {
  readonly #slots: Uint32Array
  readonly #mask: number

  /** @param most tokens that will be added at most */
  constructor(most: number) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, most * 2)))
    this.#slots = new Uint32Array(capacity * 2)
    this.#mask = capacity - 1
  }

  add(token: string): void {
    const { slot, low, high } = this.#find(token)
    this.#slots[slot * 2] = low
    this.#slots[slot * 2 + 1] = high
  }

  has(token: string): boolean {
    const { slot } = this.#find(token)
    return this.#slots[slot * 2] !== 0
  }

  #find(token: string) {
    let low = 0x811c9dc5
    let high = 0x9747b28c
    for (let index = 0; index < token.length; index++) {
      const code = token.charCodeAt(index)
      low = Math.imul(low ^ code, 0x01000193)
      high = Math.imul(high ^ code, 0x85ebca6b) ^ (high >>> 13)
    }
    low = low >>> 0 || 1 // 0 marks a free slot
    high >>>= 0
    let slot = (low ^ (high >>> 7)) & this.#mask
    while (
      this.#slots[slot * 2] !== 0 &&
      (this.#slots[slot * 2] !== low || this.#slots[slot * 2 + 1] !== high)
    )
      slot = (slot + 1) & this.#mask
    return { slot, low, high }
  }
}
