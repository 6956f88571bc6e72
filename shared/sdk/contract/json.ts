import { PeltonError, showValue } from '../errors.ts'
import { refuseBytes, refuseText } from './json-refusal.ts'

/** A parsed JSON value. Integers beyond 2^53 are bigints, everything else is what `JSON.parse` gives. */
export type JsonValue = null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject

/** A JSON object. Read members by untrusted names with `Object.hasOwn`: it inherits from `Object.prototype`. */
export interface JsonObject {
  readonly [key: string]: JsonValue
}

/** Arrays and objects nested deeper than this are refused. */
export const MAX_JSON_DEPTH = 64

const UNSAFE = 2 ** 53
const QUOTE = 0x22
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const LETTER_F = 0x66
const LETTER_N = 0x6e
const LETTER_T = 0x74
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const INTEGER = /^-?\d+$/
// A byte order mark is no JSON: left in place, it is refused with its own remedy.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads strict JSON. Integers beyond 2^53 come back exact, as bigints; numbers too large for a double (`1e999`),
 * repeated keys, the key `__proto__`, invalid UTF-8, a byte order mark and nesting below {@link MAX_JSON_DEPTH} levels
 * throw `malformed`.
 */
export function parseJson(bytes: Uint8Array): JsonValue {
  const text = decodeText(bytes)
  const value = parseText(text)
  // A repeated key leaves fewer members in the tree than there are colons in the text. More colons may also stand in
  // strings; unless one is escaped there, the sum is still equal only if nothing was lost. A number at 2^53 may have
  // been rounded. The slow way decides exactly.
  const members = countPlainMembers(value, 0)
  const colons = countColons(text)
  if (members === colons) return value
  const mayBeStrings = members < colons && !text.includes('\\u003')
  return mayBeStrings && members + countColonsInStrings(value) === colons ? value : parseExactly(text)
}

/** Whether `value`, read from JSON, is an object: neither an array nor null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Any JSON value for an error message; arrays and objects are named, never written out, however large. */
export function showJson(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return showValue(value.slice(0, 100))
  if (typeof value !== 'object' || value === null) return showValue(value)
  return Array.isArray(value) ? `an array of ${value.length}` : `an object of ${Object.keys(value).length}`
}

/**
 * A number as JSON that {@link parseJson} reads back to the same double: the sign of `-0.0` is kept (`-0` is
 * an integer to some readers, and loses it), integers from 2^53 on get an
 * exponent (plain digits would be read as a bigint), and NaN and the infinities are strings.
 */
export function numberToJson(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0'
  if (isPlainNumber(value)) return String(value)
  return Number.isFinite(value) ? value.toExponential() : `"${value}"`
}

function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw refuseBytes(bytes, cause)
  }
}

function parseText(text: string): JsonValue {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw refuseText(text, cause)
  }
}

/** How many members the objects of a tree have; NaN when a number in it may have been rounded. */
function countPlainMembers(value: JsonValue, depth: number): number {
  if (typeof value === 'number') return isPlainNumber(value) ? 0 : Number.NaN
  if (typeof value !== 'object' || value === null) return 0
  checkDepth(depth)
  let members = 0
  if (Array.isArray(value)) {
    for (const item of value) {
      if (typeof item !== 'number') members += countPlainMembers(item, depth + 1)
      else if (!isPlainNumber(item)) members = Number.NaN
    }
    return members
  }
  const object = value as JsonObject // neither array nor null
  for (const key of Object.keys(object)) {
    checkKey(key)
    members += 1 + countPlainMembers(object[key] ?? null, depth + 1)
  }
  return members
}

/** Whether no digit of a number was lost when it was read, and none is when it is written. */
export function isPlainNumber(value: number): boolean {
  return value > -UNSAFE && value < UNSAFE
}

function countColons(text: string): number {
  let colons = 0
  for (let at = text.indexOf(':'); at >= 0; at = text.indexOf(':', at + 1)) colons++
  return colons
}

function countColonsInStrings(value: JsonValue): number {
  if (typeof value === 'string') return countColons(value)
  if (typeof value !== 'object' || value === null) return 0
  let colons = 0
  if (Array.isArray(value)) {
    for (const item of value) colons += countColonsInStrings(item)
    return colons
  }
  const object = value as JsonObject // neither array nor null
  for (const key of Object.keys(object)) {
    colons += countColons(key) + countColonsInStrings(object[key] ?? null)
  }
  return colons
}

function checkDepth(depth: number): void {
  if (depth >= MAX_JSON_DEPTH) throw nestedTooDeep()
}

/** Why JSON with more than {@link MAX_JSON_DEPTH} levels is refused. */
export function nestedTooDeep(): PeltonError {
  return new PeltonError('malformed', 'the JSON is nested too deep', {
    field: 'data',
    value: `more than ${MAX_JSON_DEPTH} levels`,
    remedy: 'Send tensors flat or nested by their shape, and features as scalars.',
  })
}

function checkKey(key: string): void {
  if (key !== '__proto__') return
  throw new PeltonError('malformed', 'this key is not allowed', {
    field: 'data',
    value: showValue(key),
    remedy: 'Rename it.',
  })
}

/** A place in a text that `JSON.parse` has already accepted, so its grammar needs no second check. */
interface Cursor {
  readonly text: string
  at: number
}

function parseExactly(text: string): JsonValue {
  return readValue({ text, at: 0 }, 0)
}

function readValue(cursor: Cursor, depth: number): JsonValue {
  switch (nextToken(cursor)) {
    case OPEN_BRACE:
      return readObject(cursor, depth)
    case OPEN_BRACKET:
      return readArray(cursor, depth)
    case QUOTE:
      return readString(cursor)
    case LETTER_T:
      cursor.at += 4
      return true
    case LETTER_F:
      cursor.at += 5
      return false
    case LETTER_N:
      cursor.at += 4
      return null
    default:
      return readNumber(cursor)
  }
}

/** Skips whitespace, commas and colons, which separate tokens and mean nothing once the grammar is known to hold. */
function nextToken(cursor: Cursor): number {
  const { text } = cursor
  let code = text.charCodeAt(cursor.at)
  while (code <= 0x20 || code === 0x2c || code === 0x3a) code = text.charCodeAt(++cursor.at)
  return code
}

function readObject(cursor: Cursor, depth: number): JsonObject {
  checkDepth(depth)
  const object: Record<string, JsonValue> = {}
  cursor.at++
  while (nextToken(cursor) !== CLOSE_BRACE) {
    const key = readString(cursor)
    checkKey(key)
    if (Object.hasOwn(object, key)) {
      throw new PeltonError('malformed', 'this key appears twice in one object', {
        field: 'data',
        value: showValue(key),
        remedy: 'Send each key once.',
      })
    }
    object[key] = readValue(cursor, depth + 1)
  }
  cursor.at++
  return object
}

function readArray(cursor: Cursor, depth: number): JsonValue[] {
  checkDepth(depth)
  const array: JsonValue[] = []
  cursor.at++
  while (nextToken(cursor) !== CLOSE_BRACKET) array.push(readValue(cursor, depth + 1))
  cursor.at++
  return array
}

function readString(cursor: Cursor): string {
  const { text, at: start } = cursor
  let end = start + 1
  let isEscaped = false
  for (let code = text.charCodeAt(end); code !== QUOTE; code = text.charCodeAt(end)) {
    if (code === BACKSLASH) isEscaped = true
    end += code === BACKSLASH ? 2 : 1
  }
  cursor.at = end + 1
  return isEscaped ? JSON.parse(text.slice(start, cursor.at)) : text.slice(start + 1, end)
}

function readNumber(cursor: Cursor): number | bigint {
  const { text, at: start } = cursor
  let end = start + 1
  while (isNumberPart(text.charCodeAt(end))) end++
  cursor.at = end
  const token = text.slice(start, end)
  const value = Number(token)
  if (!Number.isFinite(value)) {
    throw new PeltonError('malformed', 'this number is too large for any datatype', {
      field: 'data',
      value: showValue(token.slice(0, 100)),
      remedy: 'Write infinity in a tensor as the string "Infinity" or "-Infinity".',
    })
  }
  return Number.isSafeInteger(value) || !INTEGER.test(token) ? value : BigInt(token)
}

/** Digits and `+ - . e E`; the code is NaN at the end of the text. */
function isNumberPart(code: number): boolean {
  if (code >= 0x30 && code <= 0x39) return true
  return code === 0x2e || code === 0x2d || code === 0x2b || code === 0x65 || code === 0x45
}
