import type { RowFeature, RowPlan } from './row-plan.ts'
import type { RowStore } from './row-store.ts'
import { RowTexts } from './row-texts.ts'

const QUOTE = 0x22
const PLUS = 0x2b
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const UPPER_E = 0x45
const BACKSLASH = 0x5c
const LETTER_E = 0x65
const LETTER_F = 0x66
const LETTER_N = 0x6e
const LETTER_T = 0x74
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const FEATURES = Buffer.from('"features"')
const WORDS = { true: Buffer.from('true'), false: Buffer.from('false'), null: Buffer.from('null') }

/** Digits of a whole number that any double holds exactly, and powers of ten, which it holds exactly, too. */
const EXACT_DIGITS = 15
const POWERS = Array.from({ length: EXACT_DIGITS + 1 }, (_, exponent) => 10 ** exponent)
const UNSAFE = 2 ** 53
/** Keys an event may be compared with in vain, for each feature: a strange order costs the width of a model, not its square. */
const MOST_MISSES = 8

interface Known {
  readonly feature: RowFeature
  /** Its name as a JSON key, with the colon, which next to nobody sets apart. */
  readonly key: Uint8Array
}

/**
 * Reads `{"features":{…}` in one pass over its bytes, for a model whose features are known: no text, no object, no list
 * of keys. It takes what is plain, and nothing else: whatever is unusual or wrong is left to the careful way, which reads
 * it anew, so what is refused, and how, is decided there alone. After speculative parsers such as Mison (Li et al., VLDB
 * 2017).
 */
export class RowScanner {
  readonly #rows: RowStore
  readonly #texts = new RowTexts()
  /** All features of the model. The first ones are in the order of the last event: producers seldom change it. */
  readonly #order: Known[]
  /** Behind the value that was read last. */
  #end = 0
  /** Keys that may yet be looked at in vain. */
  #misses = 0

  constructor(rows: RowStore) {
    this.#rows = rows
    this.#order = knownOf(rows.plan)
  }

  /**
   * Reads the features of a body into the row that is begun with them, and ended by the caller.
   *
   * @returns the place behind them; -1 where the body has to be read with care
   */
  scan(body: Uint8Array): number {
    const at = openFeatures(body)
    if (at < 0) return -1
    this.#rows.begin()
    this.#misses = MOST_MISSES * this.#order.length
    this.#texts.begin(body)
    const end = this.#readFeatures(body, at)
    this.#texts.end()
    return end
  }

  #readFeatures(body: Uint8Array, from: number): number {
    let at = from
    let count = 0
    let code = body[at]
    while (code === QUOTE) {
      const known = this.#match(body, at, count++)
      if (known === undefined) return -1
      if (!this.#readValue(body, skip(body, at + known.key.length), known.feature)) return -1
      at = skip(body, this.#end)
      code = body[at]
      if (code !== COMMA) break
      at = skip(body, at + 1)
      code = body[at]
      if (code !== QUOTE) return -1
    }
    if (code !== CLOSE_BRACE) return -1
    for (; count < this.#order.length; count++)
      if (!this.#rows.putNothing((this.#order[count] as Known).feature)) return -1
    return at + 1
  }

  /**
   * The feature whose key stands here; none that stood before, so no key is taken twice, and none that is too far off in
   * the order of the last event.
   */
  #match(body: Uint8Array, at: number, count: number): Known | undefined {
    const order = this.#order
    const expected = order[count]
    if (expected === undefined || stands(expected.key, body, at)) return expected
    for (let index = count + 1; index < order.length && this.#misses-- > 0; index++) {
      const known = order[index] as Known // within the array
      if (!stands(known.key, body, at)) continue
      order[index] = expected
      order[count] = known
      return known
    }
    return undefined
  }

  #readValue(body: Uint8Array, at: number, feature: RowFeature): boolean {
    const code = body[at]
    if (code === QUOTE) return this.#readText(body, at + 1, feature)
    if (code === LETTER_T || code === LETTER_F || code === LETTER_N) return this.#readWord(body, at, feature)
    const value = this.#readNumber(body, at)
    return !Number.isNaN(value) && this.#rows.putNumber(feature, value)
  }

  #readWord(body: Uint8Array, at: number, feature: RowFeature): boolean {
    const code = body[at]
    const word = code === LETTER_T ? WORDS.true : code === LETTER_F ? WORDS.false : WORDS.null
    this.#end = at + word.length
    if (!stands(word, body, at)) return false
    return code === LETTER_N
      ? this.#rows.putNothing(feature)
      : this.#rows.putBoolean(feature, code === LETTER_T)
  }

  #readText(body: Uint8Array, start: number, feature: RowFeature): boolean {
    let end = start
    let all = 0
    let hash = 0
    for (; end < body.length; end++) {
      const code = body[end] as number // within the array
      if (code === QUOTE) break
      if (code < 0x20 || code === BACKSLASH) return false
      all |= code
      hash = Math.imul(hash, 31) + code
    }
    if (end >= body.length) return false
    this.#end = end + 1
    const text = this.#texts.read(start, end, hash, all < 0x80)
    return text !== undefined && this.#rows.putText(feature, text)
  }

  /** A number of JSON, or NaN for what is none, and for whole ones that may be beyond 2^53. */
  #readNumber(body: Uint8Array, start: number): number {
    const isNegative = body[start] === MINUS
    const first = isNegative ? start + 1 : start
    let at = first
    let value = 0
    let code = body[at]
    for (; isDigit(code); code = body[++at]) value = value * 10 + (code - ZERO)
    const digits = at - first
    if (digits === 0 || (digits > 1 && body[first] === ZERO)) return Number.NaN
    let decimals = 0
    if (code === DOT) {
      for (code = body[++at]; isDigit(code); code = body[++at]) value = value * 10 + (code - ZERO)
      decimals = at - first - digits - 1
      if (decimals === 0) return Number.NaN
    }
    this.#end = at
    if (code === LETTER_E || code === UPPER_E) return this.#readExponent(body, start, at + 1)
    if (digits + decimals > EXACT_DIGITS) return decimals === 0 ? Number.NaN : this.#toDouble(start, at)
    // Both are exact, so their quotient is the nearest double (Clinger, PLDI 1990).
    if (decimals > 0) value /= POWERS[decimals] as number
    return isNegative ? -value : value
  }

  #readExponent(body: Uint8Array, start: number, from: number): number {
    const sign = body[from]
    const first = sign === PLUS || sign === MINUS ? from + 1 : from
    let at = first
    while (isDigit(body[at])) at++
    this.#end = at
    return at === first ? Number.NaN : this.#toDouble(start, at)
  }

  /** What is rounded is no whole number beyond 2^53 only where it is below. */
  #toDouble(start: number, end: number): number {
    const value = Number(this.#texts.slice(start, end))
    return Math.abs(value) < UNSAFE ? value : Number.NaN
  }
}

function knownOf({ features }: RowPlan): Known[] {
  return features.map((feature) => ({ feature, key: Buffer.from(`${JSON.stringify(feature.name)}:`) }))
}

/** Whether these bytes stand at a place of a body. */
function stands(bytes: Uint8Array, body: Uint8Array, at: number): boolean {
  if (at + bytes.length > body.length) return false
  for (let index = 0; index < bytes.length; index++) if (bytes[index] !== body[at + index]) return false
  return true
}

/** Where the first key of the features stands, or their end; -1 where the body begins otherwise. */
function openFeatures(body: Uint8Array): number {
  let at = skip(body, 0)
  if (body[at] !== OPEN_BRACE) return -1
  at = skip(body, at + 1)
  if (!stands(FEATURES, body, at)) return -1
  at = skip(body, at + FEATURES.length)
  if (body[at] !== COLON) return -1
  at = skip(body, at + 1)
  return body[at] === OPEN_BRACE ? skip(body, at + 1) : -1
}

/** Behind the whitespace that stands here. */
function skip(body: Uint8Array, from: number): number {
  let at = from
  while (at < body.length && isSpace(body[at])) at++
  return at
}

function isSpace(code: number | undefined): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

function isDigit(code: number | undefined): code is number {
  return code !== undefined && code >= ZERO && code <= NINE
}
