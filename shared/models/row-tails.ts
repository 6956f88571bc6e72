import { type AskedAnswer, withoutId } from './codec.ts'

/** Tails that are remembered, and bytes one may have. */
const MAX_TAILS = 8
const MAX_BYTES = 1_024

/** What stands behind the features of a body, and what was read from it. */
export interface RowTail {
  readonly bytes: Buffer
  /** Names of the outputs to answer with. */
  readonly outputs: readonly string[]
  readonly asked: AskedAnswer
}

/**
 * What stood behind the features of bodies that were read with care: parameters, or the outputs that are asked for. It is
 * the same in most events of a producer, and then compared and not read again.
 */
export class RowTails {
  /** The one that was used last stands first. */
  readonly #known: RowTail[]

  /** @param outputs those of the model, for a body that ends with its features */
  constructor(outputs: readonly string[]) {
    this.#known = [{ bytes: Buffer.from('}'), outputs, asked: { parameters: {} } }]
  }

  /** Undefined where a tail has to be read with care. */
  find(body: Uint8Array, at: number): RowTail | undefined {
    const length = body.length - at
    for (let index = 0; index < this.#known.length; index++) {
      const known = this.#known[index] as RowTail // within the array
      const { bytes } = known
      if (bytes.length !== length || (length > 1 && bytes.compare(body, at) !== 0) || bytes[0] !== body[at])
        continue
      if (index > 0) this.#known.unshift(...this.#known.splice(index, 1))
      return known
    }
    return undefined
  }

  /** With an id of its own no other event has the same tail. */
  learn(body: Uint8Array, at: number, outputs: readonly string[], asked: AskedAnswer): void {
    if (asked.id !== undefined || body.length - at > MAX_BYTES) return
    this.#known.unshift({ bytes: Buffer.from(body.subarray(at)), outputs, asked: withoutId(asked) })
    if (this.#known.length > MAX_TAILS) this.#known.pop()
  }
}
