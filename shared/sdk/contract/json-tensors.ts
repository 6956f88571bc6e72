import { PeltonError } from '../errors.ts'
import { fromHalfBits, toHalfBits } from './float16.ts'
import { type JsonValue, numberToJson, showJson } from './json.ts'
import { createTensorData, type Datatype, isCarriedText, type Tensor, type TensorData } from './tensor.ts'

type Values = readonly JsonValue[]

/** Puts values into a tensor's data from an offset on; gives the index of the first value that does not fit, or -1. */
type Fill = (target: never, offset: number, values: Values) => number

interface Form {
  readonly fill: Fill
  /** What a value must be, for the message when it is not. */
  readonly expected: string
}

const NUMBER = 'a number, or "NaN", "Infinity" or "-Infinity"'

const FORMS: Readonly<Record<Datatype, Form>> = {
  BOOL: { fill: fillBools, expected: 'true or false (or 1 or 0)' },
  UINT8: integers(0, 2 ** 8 - 1),
  UINT16: integers(0, 2 ** 16 - 1),
  UINT32: integers(0, 2 ** 32 - 1),
  UINT64: longIntegers(0n, 2n ** 64n - 1n),
  INT8: integers(-(2 ** 7), 2 ** 7 - 1),
  INT16: integers(-(2 ** 15), 2 ** 15 - 1),
  INT32: integers(-(2 ** 31), 2 ** 31 - 1),
  INT64: longIntegers(-(2n ** 63n), 2n ** 63n - 1n),
  FP16: { fill: fillHalves, expected: `${NUMBER}, of magnitude up to 65504` },
  FP32: { fill: fillFloats, expected: `${NUMBER}, of magnitude up to 3.4028235e38` },
  FP64: { fill: fillFloats, expected: NUMBER },
  BYTES: { fill: fillStrings, expected: 'a well-formed string without NUL' },
}

/**
 * Reads a tensor's JSON `data`: flat, or nested exactly as `shape` says; for a scalar also the bare value.
 * `count` is the product of `shape`. Throws `malformed` when `data` is no array, `schema-mismatch` when nesting, count
 * or a value does not fit; nothing of size `count` is allocated before the data is known to have that many elements.
 */
export function readJsonData(
  datatype: Datatype,
  shape: readonly number[],
  count: number,
  data: JsonValue | undefined,
  field: string,
): TensorData {
  const values = toValues(data, shape, field)
  const depth = shape.length > 0 && Array.isArray(values[0]) ? shape.length : 1
  if (depth === 1) checkLength(values, count, shape, `${field}.data`)
  else checkNesting(values, shape, 0, `${field}.data`)
  const target = createTensorData(datatype, count)
  const { fill, expected } = FORMS[datatype]
  // The target was made for the same datatype as the fill, which the compiler cannot pair up.
  const bad = fillNested(fill, target as never, 0, values, depth)
  if (bad === undefined) return target
  throw new PeltonError('schema-mismatch', `${datatype} needs ${expected}`, {
    field: `${field}.data${bad.path}`,
    value: showJson(bad.value),
    remedy: Array.isArray(bad.value)
      ? 'Send the data flat, or nested exactly as the shape says.'
      : 'Send a value of the datatype, or change the datatype.',
  })
}

/** Elements that are written between two looks at how long the text has become. */
export const PIECE = 4_096

/**
 * A tensor's data as flat JSON that {@link readJsonData} reads back to the same elements.
 *
 * @param maxLength characters it may have; writing ends soon after them. Throws `too-large`. @default no limit
 */
export function writeJsonData(tensor: Tensor, maxLength = Number.POSITIVE_INFINITY): string {
  const { datatype, data } = tensor
  let text = '['
  for (let from = 0; from < data.length; from += PIECE) {
    if (text.length > maxLength) throw tooLong(tensor, maxLength)
    if (from > 0) text += ','
    const to = Math.min(data.length, from + PIECE)
    text += elementsToJson(datatype, data, from, to)
  }
  return `${text}]`
}

/** The elements of a range that is not empty, with commas between them. */
export function elementsToJson(datatype: Datatype, data: TensorData, from: number, to: number): string {
  // Loops of their own for the classes of array that are written most.
  if (data instanceof Float32Array) return floatsToJson(data, from, to)
  if (data instanceof BigInt64Array) return longsToJson(data, from, to)
  if (datatype === 'BYTES') return JSON.stringify((data as string[]).slice(from, to)).slice(1, -1)
  let text = elementToJson(datatype, data[from] ?? 0)
  for (let index = from + 1; index < to; index++) text += `,${elementToJson(datatype, data[index] ?? 0)}`
  return text
}

function floatsToJson(data: Float32Array, from: number, to: number): string {
  let text = numberToJson(data[from] ?? 0)
  for (let index = from + 1; index < to; index++) text += `,${numberToJson(data[index] ?? 0)}`
  return text
}

function longsToJson(data: BigInt64Array, from: number, to: number): string {
  let text = String(data[from])
  for (let index = from + 1; index < to; index++) text += `,${data[index]}`
  return text
}

function tooLong({ name, shape }: Tensor, maxLength: number): PeltonError {
  return new PeltonError('too-large', `a tensor takes more than ${maxLength} characters as JSON`, {
    field: `${name}.shape`,
    value: `[${shape}]`,
    remedy: 'Ask for it as binary data, or for fewer outputs.',
  })
}

function elementToJson(datatype: Datatype, value: number | bigint | string): string {
  if (typeof value !== 'number') return String(value)
  if (datatype === 'FP16') return numberToJson(fromHalfBits(value))
  if (datatype === 'BOOL') return value === 1 ? 'true' : 'false'
  return numberToJson(value)
}

function toValues(data: JsonValue | undefined, shape: readonly number[], field: string): Values {
  if (Array.isArray(data)) return data
  const isBareScalar = shape.length === 0 && data !== undefined && data !== null && typeof data !== 'object'
  if (isBareScalar) return [data]
  throw new PeltonError('malformed', 'a tensor needs its data', {
    field: `${field}.data`,
    value: showJson(data),
    remedy: 'Send an array in data, or the binary form with parameters.binary_data_size.',
  })
}

function checkLength(values: Values, expected: number, shape: readonly number[], path: string): void {
  if (values.length === expected) return
  throw new PeltonError('schema-mismatch', `shape [${shape}] needs ${expected} values here`, {
    field: path,
    value: `${values.length} values`,
    remedy: 'Make shape and data agree; send the data flat, or nested exactly as the shape says.',
  })
}

function checkNesting(values: Values, shape: readonly number[], depth: number, path: string): void {
  checkLength(values, shape[depth] ?? 0, shape, path)
  if (depth === shape.length - 1) return
  for (let index = 0; index < values.length; index++) {
    const inner = values[index]
    if (Array.isArray(inner)) checkNesting(inner, shape, depth + 1, `${path}[${index}]`)
    else throw notNested(shape, `${path}[${index}]`, inner)
  }
}

function notNested(shape: readonly number[], path: string, value: JsonValue | undefined): PeltonError {
  return new PeltonError('schema-mismatch', `shape [${shape}] needs an array here`, {
    field: path,
    value: showJson(value),
    remedy: 'Send the data flat, or nested exactly as the shape says.',
  })
}

interface Misfit {
  readonly path: string
  readonly value: JsonValue | undefined
}

function fillNested(
  fill: Fill,
  target: never,
  offset: number,
  values: Values,
  depth: number,
): Misfit | undefined {
  if (depth === 1) {
    const bad = fill(target, offset, values)
    return bad < 0 ? undefined : { path: `[${bad}]`, value: values[bad] }
  }
  let at = offset
  for (let index = 0; index < values.length; index++) {
    const inner = values[index] as Values // checkNesting saw an array here
    const bad = fillNested(fill, target, at, inner, depth - 1)
    if (bad !== undefined) return { path: `[${index}]${bad.path}`, value: bad.value }
    at += leavesOf(inner, depth - 1)
  }
  return undefined
}

/** How many values an array of checked nesting holds. */
function leavesOf(values: Values, depth: number): number {
  return depth === 1 ? values.length : values.length * leavesOf((values[0] ?? []) as Values, depth - 1)
}

function fillBools(target: Uint8Array, offset: number, values: Values): number {
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    if (value === true || value === 1) target[offset + index] = 1
    else if (value !== false && value !== 0) return index
  }
  return -1
}

function integers(min: number, max: number): Form {
  const fill = (target: Int32Array, offset: number, values: Values): number => {
    for (let index = 0; index < values.length; index++) {
      const value = values[index]
      if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) return index
      target[offset + index] = value
    }
    return -1
  }
  return { fill, expected: `an integer from ${min} to ${max}` }
}

function longIntegers(min: bigint, max: bigint): Form {
  const fill = (target: BigInt64Array, offset: number, values: Values): number => {
    for (let index = 0; index < values.length; index++) {
      const value = toBigInt(values[index])
      if (value === undefined || value < min || value > max) return index
      target[offset + index] = value
    }
    return -1
  }
  return { fill, expected: `an integer from ${min} to ${max}, written in digits (a string of digits also)` }
}

/** Exact or undefined: a number beyond 2^53 was written as 1e18 or 1.0e18 and may have been rounded. */
function toBigInt(value: JsonValue | undefined): bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined
  if (typeof value === 'bigint') return value
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined
}

function fillFloats(target: Float32Array | Float64Array, offset: number, values: Values): number {
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    if (typeof value === 'number') {
      target[offset + index] = value
      if (!Number.isFinite(target[offset + index])) return index
    } else {
      const other = toFloat(value)
      if (other === undefined) return index
      target[offset + index] = other
      if (typeof value === 'bigint' && !Number.isFinite(target[offset + index])) return index
    }
  }
  return -1
}

function fillHalves(target: Uint16Array, offset: number, values: Values): number {
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    const float = typeof value === 'number' ? value : toFloat(value)
    if (float === undefined) return index
    const bits = toHalfBits(float)
    const isInfinite = (bits & 0x7fff) === 0x7c00
    if (isInfinite && Number.isFinite(float)) return index
    target[offset + index] = bits
  }
  return -1
}

function toFloat(value: JsonValue | undefined): number | undefined {
  switch (value) {
    case 'NaN':
      return Number.NaN
    case 'Infinity':
      return Number.POSITIVE_INFINITY
    case '-Infinity':
      return Number.NEGATIVE_INFINITY
    default:
      return typeof value === 'bigint' ? Number(value) : undefined
  }
}

function fillStrings(target: string[], offset: number, values: Values): number {
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    if (typeof value !== 'string' || !isCarriedText(value)) return index
    target[offset + index] = value
  }
  return -1
}
