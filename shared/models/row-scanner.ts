import type { RowFeature, RowPlan } from './row-plan.ts'
import type { Row, RowStore } from './row-store.ts'

const QUOTE = 0x22
const PLUS = 0x2b
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const BACKSLASH = 0x5c
const LETTER_E = 0x65
const LETTER_F = 0x66
const LETTER_N = 0x6e
const LETTER_T = 0x74
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
/** What stands where bytes were no UTF-8; where it was sent, the careful way reads it. */
const REPLACEMENT = 0xfffd

/** Digits of a whole number that any double holds exactly, and powers of ten, which it holds exactly, too. */
const EXACT_DIGITS = 15
const POWERS = Array.from({ length: EXACT_DIGITS + 1 }, (_, exponent) => 10 ** exponent)
const UNSAFE = 2 ** 53

interface Known {
  readonly feature: RowFeature
  /** Its name as a JSON key. */
  readonly key: string
}

/**
 * Reads `{"features":{…}}` in one pass, for a model whose features are known: no object, no tensor, no list of keys. It
 * takes what is plain, and nothing else: whatever is unusual or wrong is left to the careful way, which reads it anew,
 * so what it refuses, and how, is decided there alone. After speculative parsers such as Mison (Li et al., VLDB 2017).
 */
export class RowScanner {
  readonly #rows: RowStore
  /** All features of the model. The first ones are in the order of the last event: producers seldom change it. */
  readonly #order: Known[]
  /** Behind the value that was read last. */
  #end = 0

  constructor(rows: RowStore) {
    this.#rows = rows
    this.#order = knownOf(rows.plan)
  }

  /** The row of this body; undefined where it has to be read with care. */
  read(body: Uint8Array): Row | undefined {
    const bytes = body instanceof Buffer ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    return this.#scan(bytes.toString('utf8'))
  }

  #scan(text: string): Row | undefined {
    let at = openFeatures(text)
    if (at < 0) return undefined
    this.#rows.begin()
    let count = 0
    let code = text.charCodeAt(at)
    while (code === QUOTE) {
      const known = this.#match(text, at, count++)
      if (known === undefined) return undefined
      at = skip(text, at + known.key.length)
      if (text.charCodeAt(at) !== COLON || !this.#readValue(text, skip(text, at + 1), known.feature))
        return undefined
      at = skip(text, this.#end)
      code = text.charCodeAt(at)
      if (code !== COMMA) break
      at = skip(text, at + 1)
      code = text.charCodeAt(at)
      if (code !== QUOTE) return undefined
    }
    if (code !== CLOSE_BRACE || !isEnd(text, at + 1)) return undefined
    for (; count < this.#order.length; count++)
      if (!this.#rows.putNothing((this.#order[count] as Known).feature)) return undefined
    return this.#rows.end()
  }

  /** The feature whose key stands here; none that stood before, so no key is taken twice. */
  #match(text: string, at: number, count: number): Known | undefined {
    const order = this.#order
    const expected = order[count]
    if (expected === undefined || text.startsWith(expected.key, at)) return expected
    for (let index = count + 1; index < order.length; index++) {
      const known = order[index] as Known // within the array
      if (!text.startsWith(known.key, at)) continue
      order[index] = expected
      order[count] = known
      return known
    }
    return undefined
  }

  #readValue(text: string, at: number, feature: RowFeature): boolean {
    const code = text.charCodeAt(at)
    if (code === QUOTE) return this.#readText(text, at + 1, feature)
    if (code === MINUS || isDigit(code)) {
      const value = this.#readNumber(text, at)
      return !Number.isNaN(value) && this.#rows.putNumber(feature, value)
    }
    if (code !== LETTER_T && code !== LETTER_F && code !== LETTER_N) return false
    const word = code === LETTER_T ? 'true' : code === LETTER_F ? 'false' : 'null'
    this.#end = at + word.length
    if (!text.startsWith(word, at)) return false
    return code === LETTER_N
      ? this.#rows.putNothing(feature)
      : this.#rows.putBoolean(feature, word === 'true')
  }

  #readText(text: string, start: number, feature: RowFeature): boolean {
    let end = start
    let code = text.charCodeAt(end)
    while (code >= 0x20 && code !== QUOTE && code !== BACKSLASH && code !== REPLACEMENT)
      code = text.charCodeAt(++end)
    if (code !== QUOTE) return false
    this.#end = end + 1
    return this.#rows.putText(feature, text.slice(start, end))
  }

  /** A number of JSON, or NaN for what is none, and for whole ones that may be beyond 2^53. */
  #readNumber(text: string, start: number): number {
    const isNegative = text.charCodeAt(start) === MINUS
    const first = isNegative ? start + 1 : start
    let at = first
    let value = 0
    let code = text.charCodeAt(at)
    for (; isDigit(code); code = text.charCodeAt(++at)) value = value * 10 + (code - ZERO)
    const digits = at - first
    if (digits === 0 || (digits > 1 && text.charCodeAt(first) === ZERO)) return Number.NaN
    let decimals = 0
    if (code === DOT) {
      for (code = text.charCodeAt(++at); isDigit(code); code = text.charCodeAt(++at))
        value = value * 10 + (code - ZERO)
      decimals = at - first - digits - 1
      if (decimals === 0) return Number.NaN
    }
    this.#end = at
    if ((code | 0x20) === LETTER_E) return this.#readExponent(text, start, at + 1)
    if (digits + decimals > EXACT_DIGITS) return decimals === 0 ? Number.NaN : toDouble(text, start, at)
    // Both are exact, so their quotient is the nearest double (Clinger, PLDI 1990).
    if (decimals > 0) value /= POWERS[decimals] as number
    return isNegative ? -value : value
  }

  #readExponent(text: string, start: number, from: number): number {
    const sign = text.charCodeAt(from)
    const first = sign === PLUS || sign === MINUS ? from + 1 : from
    let at = first
    while (isDigit(text.charCodeAt(at))) at++
    this.#end = at
    return at === first ? Number.NaN : toDouble(text, start, at)
  }
}

function knownOf({ features }: RowPlan): Known[] {
  return features.map((feature) => ({ feature, key: JSON.stringify(feature.name) }))
}

/** Where the first key of the features stands, or their end; -1 where the text begins otherwise. */
function openFeatures(text: string): number {
  if (text.startsWith('{"features":{"')) return 13
  let at = skip(text, 0)
  if (text.charCodeAt(at) !== OPEN_BRACE) return -1
  at = skip(text, at + 1)
  if (!text.startsWith('"features"', at)) return -1
  at = skip(text, at + 10)
  if (text.charCodeAt(at) !== COLON) return -1
  at = skip(text, at + 1)
  return text.charCodeAt(at) === OPEN_BRACE ? skip(text, at + 1) : -1
}

/** Whether nothing follows but the end of the object. */
function isEnd(text: string, from: number): boolean {
  const at = skip(text, from)
  return text.charCodeAt(at) === CLOSE_BRACE && skip(text, at + 1) === text.length
}

/** Behind the whitespace that stands here. */
function skip(text: string, from: number): number {
  let at = from
  for (let code = text.charCodeAt(at); code <= 0x20; code = text.charCodeAt(++at))
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at
  return at
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE
}

/** What is rounded is no whole number beyond 2^53 only where it is below. */
function toDouble(text: string, start: number, end: number): number {
  const value = Number(text.slice(start, end))
  return Math.abs(value) < UNSAFE ? value : Number.NaN
}
