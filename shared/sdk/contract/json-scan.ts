import { isUtf8 } from 'node:buffer'
import type { PeltonError } from '../errors.ts'
import { MAX_JSON_DEPTH } from './json.ts'

/** Why bytes are not what is looked for: no UTF-8, no object, no JSON, nested too deep, or more values than are taken. */
export type ScanFault = 'encoding' | 'kind' | 'grammar' | 'depth' | 'values'

export interface ObjectScan {
  /** Levels of nesting, the outermost object included; 64 at most. @default 64 */
  readonly maxDepth?: number | undefined
  /** Values, each element of each array, each member, and all objects and arrays. @default as many as there are */
  readonly maxValues?: number | undefined
  /** What is thrown. @param at the byte from which on it cannot be read */
  readonly refuse: (fault: ScanFault, at: number) => PeltonError
}

/** A member of the outermost object: where its quoted name and its value begin, and the first byte behind each. */
export interface ScannedMember {
  readonly nameFrom: number
  readonly nameTo: number
  /** Whether its name has an escape. */
  readonly isEscaped: boolean
  readonly from: number
  readonly to: number
}

/**
 * Goes once over bytes and builds nothing of them: knows whether they are a JSON object, exactly as `JSON.parse` does, and
 * where its members lie. Members that stand twice, and numbers that no double holds, are taken.
 *
 * @param onMember told of each member of the outermost object, in order; scans nothing itself
 * @throws what `refuse` makes of a fault
 */
export function scanObject(
  json: Uint8Array,
  options: ObjectScan,
  onMember: (member: ScannedMember) => void,
): void {
  new Scan(json, options, onMember).run()
}

/** Whether a member has this name, which is short and ASCII: with escapes or without. */
export function isNamed(
  json: Uint8Array,
  { nameFrom, nameTo, isEscaped }: ScannedMember,
  name: string,
): boolean {
  const length = nameTo - nameFrom - 2
  if (isEscaped) return length <= 6 * name.length && JSON.parse(textOf(json, nameFrom, nameTo)) === name
  return length === name.length && textOf(json, nameFrom + 1, nameTo - 1) === name
}

/** The text of a part of bytes that are UTF-8. */
export function textOf(json: Uint8Array, from: number, to: number): string {
  return Buffer.from(json.buffer, json.byteOffset + from, to - from).toString()
}

const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const PLUS = 0x2b
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const LOWER_U = 0x75
/** Behind the last byte. */
const END = -1

const LITERALS: ReadonlyMap<number, Uint8Array> = new Map(
  ['true', 'false', 'null'].map((word) => [word.charCodeAt(0), Buffer.from(word)]),
)
/** What may stand behind a backslash, but for the `u`. */
const ESCAPED: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'))

/** What closes each container that is open now. One for all scans: none of them waits for anything. */
const closers = new Uint8Array(MAX_JSON_DEPTH)

class Scan {
  readonly #json: Uint8Array
  readonly #maxDepth: number
  readonly #maxValues: number
  readonly #refuse: ObjectScan['refuse']
  readonly #onMember: (member: ScannedMember) => void
  #at = 0
  #depth = 0
  #values = 0
  /** Of the member of the outermost object that is read now. */
  #nameFrom = 0
  #nameTo = 0
  #isEscaped = false
  #from = 0

  constructor(
    json: Uint8Array,
    { maxDepth = MAX_JSON_DEPTH, maxValues = Number.POSITIVE_INFINITY, refuse }: ObjectScan,
    onMember: (member: ScannedMember) => void,
  ) {
    this.#json = json
    this.#maxDepth = Math.min(maxDepth, MAX_JSON_DEPTH)
    this.#maxValues = maxValues
    this.#refuse = refuse
    this.#onMember = onMember
  }

  run(): void {
    if (!isUtf8(this.#json)) throw this.#refuse('encoding', 0)
    if (this.#skipSpace() !== OPEN_BRACE) throw this.#refuse('kind', this.#at)
    do {
      while (this.#opens()) {}
      this.#closes()
    } while (this.#depth > 0)
    if (this.#skipSpace() !== END) this.#fail()
  }

  /** Reads a value: a scalar to its end, a container to its first value. @returns whether that has to be read next */
  #opens(): boolean {
    const first = this.#skipSpace()
    if (++this.#values > this.#maxValues) throw this.#refuse('values', this.#at)
    if (first === OPEN_BRACE) return this.#enters(CLOSE_BRACE)
    if (first === OPEN_BRACKET) return this.#enters(CLOSE_BRACKET)
    if (first === QUOTE) this.#string()
    else if (first === MINUS || isDigit(first)) this.#number(first)
    else this.#literal(first)
    return false
  }

  #enters(closer: number): boolean {
    if (this.#depth === this.#maxDepth) throw this.#refuse('depth', this.#at)
    closers[this.#depth++] = closer
    this.#at++
    if (this.#skipSpace() === closer) {
      this.#leaves()
      return false
    }
    if (closer === CLOSE_BRACE) this.#key()
    return true
  }

  #leaves(): void {
    this.#at++
    this.#depth--
  }

  /** Behind a value: goes on to the next one, out of all containers that end here. */
  #closes(): void {
    while (this.#depth > 0) {
      if (this.#depth === 1) this.#endsMember()
      const closer = closers[this.#depth - 1]
      const next = this.#skipSpace()
      if (next === COMMA) {
        this.#at++
        if (closer === CLOSE_BRACE) this.#key()
        return
      }
      if (next !== closer) this.#fail()
      this.#leaves()
    }
  }

  /** Reads a key and its colon. */
  #key(): void {
    if (this.#skipSpace() !== QUOTE) this.#fail()
    const from = this.#at
    const isEscaped = this.#string()
    const to = this.#at
    if (this.#skipSpace() !== COLON) this.#fail()
    this.#at++
    if (this.#depth > 1) return
    this.#skipSpace()
    this.#nameFrom = from
    this.#nameTo = to
    this.#isEscaped = isEscaped
    this.#from = this.#at
  }

  #endsMember(): void {
    this.#onMember({
      nameFrom: this.#nameFrom,
      nameTo: this.#nameTo,
      isEscaped: this.#isEscaped,
      from: this.#from,
      to: this.#at,
    })
  }

  /** @returns whether it has an escape */
  #string(): boolean {
    const json = this.#json
    let at = this.#at + 1
    let isEscaped = false
    for (let byte = json[at] ?? END; byte !== QUOTE; byte = json[at] ?? END) {
      if (byte < 0x20) this.#fail(at)
      if (byte === BACKSLASH) {
        isEscaped = true
        at = this.#escape(at + 1)
      } else at++
    }
    this.#at = at + 1
    return isEscaped
  }

  /** @returns the position behind it */
  #escape(at: number): number {
    const byte = this.#json[at] ?? END
    if (ESCAPED.has(byte)) return at + 1
    if (byte !== LOWER_U) this.#fail(at)
    for (let digit = at + 1; digit < at + 5; digit++) {
      if (!isHexDigit(this.#json[digit] ?? END)) this.#fail(digit)
    }
    return at + 5
  }

  #number(first: number): void {
    const start = this.#at
    if (first === MINUS) this.#at++
    if (this.#json[this.#at] === ZERO) this.#at++
    else this.#digits(start)
    if (this.#json[this.#at] === DOT) {
      this.#at++
      this.#digits(start)
    }
    // An e or an E.
    if (((this.#json[this.#at] ?? 0) | 0x20) !== 0x65) return
    const sign = this.#json[++this.#at]
    if (sign === PLUS || sign === MINUS) this.#at++
    this.#digits(start)
  }

  /** One digit or more of the number that begins at `start`. */
  #digits(start: number): void {
    const from = this.#at
    while (isDigit(this.#json[this.#at] ?? END)) this.#at++
    if (this.#at === from) this.#fail(start)
  }

  #literal(first: number): void {
    const word = LITERALS.get(first)
    if (word === undefined) this.#fail()
    for (const [index, byte] of word.entries()) {
      if (this.#json[this.#at + index] !== byte) this.#fail()
    }
    this.#at += word.length
  }

  /** @returns the byte there, which stays to be read */
  #skipSpace(): number {
    const json = this.#json
    let byte = json[this.#at] ?? END
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = json[++this.#at] ?? END
    return byte
  }

  #fail(at = this.#at): never {
    throw this.#refuse('grammar', at)
  }
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE
}

function isHexDigit(byte: number): boolean {
  const lower = byte | 0x20
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66)
}
