import { isUtf8 } from 'node:buffer'
import { findStrangeToken, recogniseBytes } from '../../../../shared/sdk/contract/foreign-data.ts'
import { MAX_JSON_DEPTH } from '../../../../shared/sdk/contract/json.ts'
import { PeltonError, showValue } from '../../../../shared/sdk/errors.ts'

/** What the JSON of a request may have, looked at before anything of it is built. */
export interface ScanLimits {
  /** Levels of nesting, the outermost object included; 64 at most. @default 64 */
  readonly maxDepth?: number | undefined
  /** Values, each element of each array, each member, and all objects and arrays. @default 4194304 */
  readonly maxElements?: number | undefined
}

/** What the gateway reads of a request. All else is the worker's to judge. */
export interface ScannedRequest {
  /** Undefined where there is none, or none of text of ordinary length. */
  readonly id: string | undefined
  /** The member `parameters` where it is an object. Read by names with `Object.hasOwn`. */
  readonly parameters: Readonly<Record<string, unknown>> | undefined
}

const DEFAULT_MAX_ELEMENTS = 2 ** 22
/** Bytes of the two members that are built; an id that is longer is the worker's alone. */
const MAX_ID_BYTES = 1_024
const MAX_PARAMETER_BYTES = 64 * 1_024

/**
 * Goes once over the JSON of a request: knows whether it is a JSON object, exactly as `JSON.parse` does, counts depth and
 * values against the limits, and finds the members `id` and `parameters`, of which alone something is built.
 *
 * @throws PeltonError `malformed` for what is no JSON object, with the position, or is nested too deep; `too-large` for
 *   more values, or longer parameters, than are taken
 */
export function scanRequest(json: Uint8Array, limits: ScanLimits = {}): ScannedRequest {
  const scan = new JsonScan(json, limits)
  scan.run()
  const { id, parameters } = scan
  return {
    id: id === undefined ? undefined : readId(json, id),
    parameters: parameters === undefined ? undefined : readParameters(json, parameters),
  }
}

/** Where a value begins, and the first byte behind it. */
interface Range {
  readonly from: number
  readonly to: number
}

function readId(json: Uint8Array, { from, to }: Range): string | undefined {
  return json[from] === QUOTE && to - from <= MAX_ID_BYTES ? JSON.parse(textOf(json, from, to)) : undefined
}

function readParameters(
  json: Uint8Array,
  { from, to }: Range,
): Readonly<Record<string, unknown>> | undefined {
  if (json[from] !== OPEN_BRACE) return undefined
  if (to - from <= MAX_PARAMETER_BYTES) return JSON.parse(textOf(json, from, to))
  throw new PeltonError('too-large', `parameters may have ${MAX_PARAMETER_BYTES} bytes`, {
    field: 'parameters',
    value: `${to - from} bytes`,
    remedy: 'Send data as inputs.',
  })
}

function textOf(json: Uint8Array, from: number, to: number): string {
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

class JsonScan {
  readonly #json: Uint8Array
  readonly #maxDepth: number
  readonly #maxElements: number
  #at = 0
  #depth = 0
  #elements = 0
  /** The member of the outermost object that is read now, where it is one of the two that are wanted. */
  #member: 'id' | 'parameters' | undefined
  #from = 0
  id: Range | undefined
  parameters: Range | undefined

  constructor(
    json: Uint8Array,
    { maxDepth = MAX_JSON_DEPTH, maxElements = DEFAULT_MAX_ELEMENTS }: ScanLimits,
  ) {
    this.#json = json
    this.#maxDepth = Math.min(maxDepth, MAX_JSON_DEPTH)
    this.#maxElements = maxElements
  }

  run(): void {
    if (!isUtf8(this.#json)) throw notJson(this.#json, undefined, 'is not valid UTF-8')
    if (this.#skipSpace() !== OPEN_BRACE) throw notJson(this.#json, this.#at, 'is no JSON object')
    do {
      while (this.#opens()) {}
      this.#closes()
    } while (this.#depth > 0)
    if (this.#skipSpace() !== END) this.#fail()
  }

  /** Reads a value: a scalar to its end, a container to its first value. @returns whether that has to be read next */
  #opens(): boolean {
    const first = this.#skipSpace()
    if (++this.#elements > this.#maxElements) throw tooMany(this.#maxElements)
    if (first === OPEN_BRACE) return this.#enters(CLOSE_BRACE)
    if (first === OPEN_BRACKET) return this.#enters(CLOSE_BRACKET)
    if (first === QUOTE) this.#string()
    else if (first === MINUS || isDigit(first)) this.#number(first)
    else this.#literal(first)
    return false
  }

  #enters(closer: number): boolean {
    if (this.#depth === this.#maxDepth) throw tooDeep(this.#maxDepth, this.#at)
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
    this.#member = wantedMember(this.#json, { from, to }, isEscaped)
    this.#from = this.#at
  }

  #endsMember(): void {
    if (this.#member !== undefined) this[this.#member] = { from: this.#from, to: this.#at }
    this.#member = undefined
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
    throw notJson(this.#json, at, 'is not valid JSON')
  }
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE
}

function isHexDigit(byte: number): boolean {
  const lower = byte | 0x20
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66)
}

/** Bytes of a quoted name of which each character is escaped. */
const LONGEST_KEY = 2 + 6 * 'parameters'.length

function wantedMember(
  json: Uint8Array,
  { from, to }: Range,
  isEscaped: boolean,
): 'id' | 'parameters' | undefined {
  if (to - from > LONGEST_KEY || (!isEscaped && to - from !== 4 && to - from !== 12)) return undefined
  const name: unknown = JSON.parse(textOf(json, from, to))
  return name === 'id' || name === 'parameters' ? name : undefined
}

function tooDeep(most: number, at: number): PeltonError {
  return new PeltonError('malformed', `the JSON is nested too deep at byte ${at}`, {
    field: 'body',
    value: `more than ${most} levels`,
    remedy: 'Send tensors flat or nested by their shape, and features as scalars.',
  })
}

function tooMany(most: number): PeltonError {
  return new PeltonError('too-large', `the JSON may have ${most} values`, {
    field: 'body',
    value: `more than ${most}`,
    remedy: 'Send fewer rows, or tensors as binary data.',
  })
}

const SEND_OBJECT = 'Send one complete JSON object, {"inputs": […]} or {"features": {…}}.'

/** @param at where it cannot be read on; undefined where nobody knows */
function notJson(json: Uint8Array, at: number | undefined, problem: string): PeltonError {
  const foreign = recogniseBytes(json)
  if (foreign !== undefined) {
    const remedy = foreign.kind === 'gzip' ? 'Send it with Content-Encoding: gzip.' : foreign.remedy
    return new PeltonError('malformed', `the body is no JSON but ${foreign.kind}`, { field: 'body', remedy })
  }
  if (at === undefined)
    return new PeltonError('malformed', `the body ${problem}`, {
      field: 'body',
      value: `${json.length} bytes`,
      remedy: 'Encode it as UTF-8.',
    })
  if (json.length === 0)
    return new PeltonError('malformed', 'the body is empty', { field: 'body', remedy: SEND_OBJECT })
  const strange = findStrangeToken(textOf(json, at, Math.min(json.length, at + 64)))
  return new PeltonError('malformed', `the body ${problem} from byte ${at} on`, {
    field: 'body',
    value: `${json.length} bytes, from ${Math.max(0, at - 20)}: ${around(json, at)}`,
    remedy: strange?.position === 0 ? strange.remedy : SEND_OBJECT,
  })
}

function around(json: Uint8Array, at: number): string {
  const from = Math.max(0, at - 20)
  return showValue(textOf(json, from, Math.min(json.length, from + 60)))
}
