/** Texts that are remembered, and bytes one may have: shorter than what V8 would keep as a part of a longer one. */
const SLOTS = 256
const MAX_BYTES = 12

interface Remembered {
  readonly bytes: Uint8Array
  readonly text: string
}

const NO_BYTES = new Uint8Array()
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Texts of the bodies of events. Features that are text seldom have many values, so the last short ones are remembered:
 * a text that comes again is not made again. Of two that fall into one place the later one stays.
 */
export class RowTexts {
  readonly #remembered = new Array<Remembered | undefined>(SLOTS).fill(undefined)
  #body: Uint8Array = NO_BYTES
  #latin1: string | undefined

  /** From here on texts are of this body. */
  begin(body: Uint8Array): void {
    this.#body = body
    this.#latin1 = undefined
  }

  /** The body is not kept, nor the memory it shares with what came in with it. */
  end(): void {
    this.begin(NO_BYTES)
  }

  /**
   * The text between two places; undefined where its bytes are no UTF-8.
   *
   * @param hash of its bytes
   */
  read(start: number, end: number, hash: number, isAscii: boolean): string | undefined {
    if (end - start > MAX_BYTES) return this.#decode(start, end, isAscii)
    const body = this.#body
    const slot = (hash ^ (hash >>> 8)) & (SLOTS - 1)
    const known = this.#remembered[slot]
    if (known !== undefined && isSame(known.bytes, body, start, end)) return known.text
    const text = this.#decode(start, end, isAscii)
    if (text !== undefined)
      this.#remembered[slot] = { bytes: Uint8Array.from(body.subarray(start, end)), text }
    return text
  }

  /** What stands between two places, which is ASCII. */
  slice(start: number, end: number): string {
    const { buffer, byteOffset, byteLength } = this.#body
    this.#latin1 ??= Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
    return this.#latin1.slice(start, end)
  }

  #decode(start: number, end: number, isAscii: boolean): string | undefined {
    return isAscii ? this.slice(start, end) : decodeUtf8(this.#body.subarray(start, end))
  }
}

function isSame(bytes: Uint8Array, body: Uint8Array, start: number, end: number): boolean {
  if (bytes.length !== end - start) return false
  for (let index = 0; index < bytes.length; index++) if (bytes[index] !== body[start + index]) return false
  return true
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}
