import { isLosslessNumber, type LosslessNumber, parse } from 'lossless-json'
import { PeltonError, showValue } from '../../sdk/errors.ts'

/** A JSON document that keeps every digit of its numbers. */
export type JsonTree = null | boolean | string | LosslessNumber | JsonTree[] | { [name: string]: JsonTree }

/** One operation of a JSON Patch (RFC 6902), checked. Pointers are taken apart into their reference tokens. */
export type PatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: readonly string[]; readonly value: JsonTree }
  | { readonly op: 'remove'; readonly path: readonly string[] }
  | { readonly op: 'move' | 'copy'; readonly path: readonly string[]; readonly from: readonly string[] }

export type Patch = readonly PatchOperation[]

/** What became of a document. A refusal names operation, pointer and why, and nothing of the document. */
export type Patched =
  | { readonly kind: 'applied'; readonly value: JsonTree }
  | { readonly kind: 'refused'; readonly why: string }

const REMEDY = 'Give a JSON array of operations as RFC 6902 has them.'
const MAX_PATCH_LENGTH = 64 * 1024
const MAX_OPERATIONS = 1_000

/**
 * Reads a JSON Patch.
 *
 * @throws PeltonError `invalid-argument` that names the operation and the member of it that is wrong
 */
export function readPatch(text: string): Patch {
  if (text.length > MAX_PATCH_LENGTH)
    throw unusable('patch', `${text.length} characters`, `a patch has ${MAX_PATCH_LENGTH} characters at most`)
  const operations = parseTree(text)
  if (!Array.isArray(operations)) throw unusable('patch', showValue(text), 'a patch is an array')
  if (operations.length > MAX_OPERATIONS)
    throw unusable(
      'patch',
      `${operations.length} operations`,
      `a patch has ${MAX_OPERATIONS} operations at most`,
    )
  return operations.map(readOperation)
}

function parseTree(text: string): JsonTree {
  try {
    return parse(text) as JsonTree
  } catch (cause) {
    const details = { field: 'patch', value: showValue(text), remedy: REMEDY }
    throw new PeltonError('invalid-argument', 'a patch is valid JSON', details, cause)
  }
}

function readOperation(given: JsonTree, index: number): PatchOperation {
  const where = `patch[${index}]`
  if (!isObject(given)) throw unusable(where, showTree(given), 'an operation is an object')
  const { op } = given
  const path = readPointer(member(given, 'path'), `${where}.path`)
  switch (op) {
    case 'add':
    case 'replace':
    case 'test':
      if (!Object.hasOwn(given, 'value')) throw unusable(`${where}.value`, 'nothing', `${op} needs a value`)
      return { op, path, value: given.value as JsonTree }
    case 'remove':
      return { op, path }
    case 'move':
    case 'copy':
      return { op, path, from: readPointer(member(given, 'from'), `${where}.from`) }
    default:
      throw unusable(`${where}.op`, showTree(op), 'it is one of add, remove, replace, move, copy, test')
  }
}

function member(object: { readonly [name: string]: JsonTree }, name: string): JsonTree | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** A JSON Pointer (RFC 6901) as its reference tokens. */
function readPointer(given: JsonTree | undefined, field: string): string[] {
  if (typeof given !== 'string' || !/^(?:\/(?:[^~]|~[01])*)?$/su.test(given))
    throw unusable(field, showTree(given), 'it is a JSON Pointer, such as /features/distance')
  const tokens = given.split('/').slice(1)
  if (tokens.includes('__proto__')) throw unusable(field, showValue(given), 'no event has this key')
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/**
 * Applies a patch to a document, which it uses up: one operation that fails refuses the whole.
 *
 * @param maxAddedBytes of JSON that its operations may put into the document, all together
 */
export function applyPatch(patch: Patch, document: JsonTree, maxAddedBytes: number): Patched {
  let value = document
  const room: Room = { bytes: maxAddedBytes }
  for (const [index, operation] of patch.entries()) {
    const outcome = applyOperation(operation, value, room)
    if ('why' in outcome) {
      const { op, path } = operation
      return { kind: 'refused', why: `patch[${index}] ${op} ${writePointer(path)}: ${outcome.why}` }
    }
    value = outcome.value
  }
  return { kind: 'applied', value }
}

type Step = { readonly value: JsonTree } | { readonly why: string }

/** What may be added still. Copies are charged while they are made: a few operations can double a document for ever. */
interface Room {
  bytes: number
}

const MISSING = { why: 'there is nothing at this path' }
const NO_ROOM = { why: 'the patch adds more than an event can hold' }

function applyOperation(operation: PatchOperation, document: JsonTree, room: Room): Step {
  const { path } = operation
  switch (operation.op) {
    case 'add':
    case 'replace': {
      const value = copyOf(operation.value, room)
      if (value === undefined) return NO_ROOM
      return operation.op === 'add' ? add(document, path, value) : replace(document, path, value)
    }
    case 'remove':
      return remove(document, path)
    case 'test': {
      const found = find(document, path)
      if (found === undefined) return MISSING
      return isEqual(found, operation.value) ? { value: document } : { why: 'the value is another' }
    }
    case 'copy': {
      const found = find(document, operation.from)
      if (found === undefined) return { why: 'there is nothing at from' }
      const value = copyOf(found, room)
      return value === undefined ? NO_ROOM : add(document, path, value)
    }
    case 'move':
      return move(document, operation.from, path)
  }
}

function move(document: JsonTree, from: readonly string[], path: readonly string[]): Step {
  const found = find(document, from)
  if (found === undefined) return { why: 'there is nothing at from' }
  const isInside = path.length > from.length && from.every((token, index) => token === path[index])
  if (isInside) return { why: 'a value cannot be moved into itself' }
  if (path.length === from.length && from.every((token, index) => token === path[index]))
    return { value: document }
  const removed = remove(document, from)
  return 'why' in removed ? removed : add(removed.value, path, found)
}

/** The value a pointer names; `undefined` when there is none. */
function find(document: JsonTree, path: readonly string[]): JsonTree | undefined {
  let value: JsonTree | undefined = document
  for (const token of path) {
    if (Array.isArray(value)) value = value[readIndex(token, value.length - 1) ?? -1]
    else if (isObject(value)) value = member(value, token)
    else return undefined
  }
  return value
}

function add(document: JsonTree, path: readonly string[], value: JsonTree): Step {
  const last = path.at(-1)
  if (last === undefined) return { value }
  const parent = find(document, path.slice(0, -1))
  if (Array.isArray(parent)) {
    const index = last === '-' ? parent.length : readIndex(last, parent.length)
    if (index === undefined) return { why: 'this is no index of the array' }
    parent.splice(index, 0, value)
    return { value: document }
  }
  if (!isObject(parent)) return { why: 'there is no object or array to add to' }
  parent[last] = value
  return { value: document }
}

function remove(document: JsonTree, path: readonly string[]): Step {
  const last = path.at(-1)
  if (last === undefined) return { why: 'the whole document cannot be removed' }
  if (find(document, path) === undefined) return MISSING
  const parent = find(document, path.slice(0, -1))
  if (Array.isArray(parent)) parent.splice(Number(last), 1)
  else if (isObject(parent)) delete parent[last]
  return { value: document }
}

function replace(document: JsonTree, path: readonly string[], value: JsonTree): Step {
  const last = path.at(-1)
  if (last === undefined) return { value }
  if (find(document, path) === undefined) return MISSING
  const parent = find(document, path.slice(0, -1))
  if (Array.isArray(parent)) parent[Number(last)] = value
  else if (isObject(parent)) parent[last] = value
  return { value: document }
}

function readIndex(token: string, most: number): number | undefined {
  return /^(?:0|[1-9]\d{0,14})$/.test(token) && Number(token) <= most ? Number(token) : undefined
}

function isObject(value: unknown): value is { [name: string]: JsonTree } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value)
}

/** Numbers are never changed, so copies may share them. `undefined` when there is no room for it. */
function copyOf(value: JsonTree, room: Room): JsonTree | undefined {
  room.bytes -= ownBytes(value)
  if (room.bytes < 0) return undefined
  if (Array.isArray(value)) {
    const items: JsonTree[] = []
    for (const item of value) {
      const copy = copyOf(item, room)
      if (copy === undefined) return undefined
      items.push(copy)
    }
    return items
  }
  if (!isObject(value)) return value
  const members: [string, JsonTree][] = []
  for (const [name, item] of Object.entries(value)) {
    const copy = copyOf(item, room)
    if (copy === undefined) return undefined
    members.push([name, copy])
  }
  return Object.fromEntries(members)
}

/** About what a value takes in JSON, without what is in it: never less than a comma. */
function ownBytes(value: JsonTree): number {
  if (typeof value === 'string') return value.length + 3
  if (isLosslessNumber(value)) return value.value.length + 1
  if (!isObject(value)) return 3
  return Object.keys(value).reduce((sum, name) => sum + name.length + 3, 3)
}

/** RFC 6902 §4.6: numbers are equal when they are numerically equal, members in any order. */
function isEqual(a: JsonTree, b: JsonTree): boolean {
  if (isLosslessNumber(a)) return isLosslessNumber(b) && canonical(a.value) === canonical(b.value)
  if (Array.isArray(a))
    return (
      Array.isArray(b) && a.length === b.length && a.every((item, index) => isEqual(item, b[index] ?? null))
    )
  if (!isObject(a)) return a === b
  if (!isObject(b)) return false
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  return names.every((name) => Object.hasOwn(b, name) && isEqual(a[name] ?? null, b[name] ?? null))
}

/** A number with no digit to spare, so that equal numbers are equal texts: `1`, `1.0` and `10e-1` are `1e0`. */
function canonical(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  const digits = (whole + fraction).replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return '0'
  const scale = BigInt(exponent.replace('+', '')) - BigInt(fraction.length)
  return `${sign}${significant}e${scale + BigInt(digits.length - significant.length)}`
}

/** Reference tokens as a JSON Pointer; the whole document as `(root)`. */
function writePointer(path: readonly string[]): string {
  if (path.length === 0) return '(root)'
  return path.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

function showTree(value: JsonTree | undefined): string {
  if (value === undefined) return 'nothing'
  return isLosslessNumber(value) ? value.value : showValue(value)
}

function unusable(field: string, value: string, description: string): PeltonError {
  return new PeltonError('invalid-argument', description, { field, value, remedy: REMEDY })
}
