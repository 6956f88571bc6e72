import { type ErrorCode, PeltonError, showValue } from '../errors.ts'

/** The datatypes of the Open Inference Protocol V2 that Pelton carries. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const

export type Datatype = (typeof DATATYPES)[number]

/**
 * Elements of a tensor, row-major. BOOL is one byte per element (0 or 1), FP16 the raw bits in a `Uint16Array`,
 * BYTES an array of well-formed strings without NUL.
 */
export type TensorData =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | string[]

/** One named tensor. `data.length` equals the product of `shape` (1 for a scalar, shape `[]`). */
export interface Tensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly data: TensorData
}

/** Tensors of more dimensions than this are refused. */
export const MAX_RANK = 8

/** What holds the elements of each datatype in memory. */
const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
  BYTES: Array,
} as const satisfies Record<Datatype, unknown>

/** Whether `value` is the name of a datatype Pelton carries. */
export function isDatatype(value: unknown): value is Datatype {
  return typeof value === 'string' && Object.hasOwn(ARRAYS, value)
}

/** Bytes of one element in memory and in the binary form; undefined for BYTES, whose elements vary. */
export function elementSizeBytes(datatype: Exclude<Datatype, 'BYTES'>): number
export function elementSizeBytes(datatype: Datatype): number | undefined
export function elementSizeBytes(datatype: Datatype): number | undefined {
  return datatype === 'BYTES' ? undefined : ARRAYS[datatype].BYTES_PER_ELEMENT
}

/** Whether a string survives the way into the model: no NUL (the runtime cuts there), no lone surrogate. */
export function isCarriedText(text: string): boolean {
  return !text.includes('\0') && !LONE_SURROGATE.test(text)
}

const LONE_SURROGATE = /[\ud800-\udfff]/u

/**
 * How many elements a shape holds: the product of its dimensions, 1 for `[]`.
 * Throws `invalid-argument` on a dimension that is not an integer of 0 or more, and on a product beyond 2^53, also
 * where a zero elsewhere in the shape would hide it.
 */
export function elementCount(shape: readonly number[]): number {
  let count = 1
  let extent = 1
  for (let index = 0; index < shape.length; index++) {
    const dimension = shape[index] ?? 0
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw new PeltonError('invalid-argument', 'a dimension is not an integer of 0 or more', {
        field: `shape[${index}]`,
        value: showValue(dimension),
      })
    }
    count *= dimension
    extent *= dimension === 0 ? 1 : dimension
  }
  if (extent > Number.MAX_SAFE_INTEGER) {
    throw new PeltonError('invalid-argument', 'the shape holds more elements than can be counted', {
      field: 'shape',
      value: showValue(shape),
    })
  }
  return count
}

/** A zeroed array (BYTES: of empty strings) for `length` elements of `datatype`. */
export function createTensorData(datatype: Datatype, length: number): TensorData {
  return datatype === 'BYTES' ? new Array<string>(length).fill('') : new ARRAYS[datatype](length)
}

/** Elements of `datatype`, not BYTES, in a part of a buffer; `offset` is a multiple of their size. */
export function viewTensorData(
  datatype: Exclude<Datatype, 'BYTES'>,
  buffer: ArrayBuffer,
  offset: number,
  length: number,
): Exclude<TensorData, string[]> {
  return new ARRAYS[datatype](buffer, offset, length)
}

/**
 * Checks that a tensor made by code is what its type says: name, datatype, the class and length of its data, and for
 * BYTES and BOOL every element. Throws `code`, with paths below `field`.
 */
export function checkTensor(tensor: Tensor, field: string, code: ErrorCode): void {
  const { name, datatype, shape, data } = tensor
  const refuse = (problem: string, part: string, value: string): PeltonError =>
    new PeltonError(code, problem, { field: `${field}.${part}`, value })
  if (typeof name !== 'string' || name === '' || !isCarriedText(name)) {
    throw refuse('a tensor needs a name of well-formed text', 'name', showValue(name))
  }
  if (!isDatatype(datatype))
    throw refuse('this is no datatype Pelton carries', 'datatype', showValue(datatype))
  if (!(data instanceof ARRAYS[datatype])) {
    throw refuse(`${datatype} is held by a ${ARRAYS[datatype].name}`, 'data', Object(data).constructor?.name)
  }
  if (shape.length > MAX_RANK) {
    throw refuse(`a tensor has at most ${MAX_RANK} dimensions`, 'shape', showValue(shape))
  }
  if (data.length !== elementCount(shape)) {
    throw refuse(
      `the data does not fill the shape ${showValue(shape)}`,
      'data.length',
      showValue(data.length),
    )
  }
  const bad = findBadElement(datatype, data)
  if (bad >= 0) {
    throw refuse(`this element is no ${datatype}`, `data[${bad}]`, showValue(data[bad]))
  }
}

/** The index of the first element that its datatype forbids although its array allows it, or -1. */
function findBadElement(datatype: Datatype, data: TensorData): number {
  if (datatype === 'BOOL') return (data as Uint8Array).findIndex((value) => value > 1) // its class was checked
  if (datatype !== 'BYTES') return -1
  return (data as string[]).findIndex((value) => typeof value !== 'string' || !isCarriedText(value))
}

/** Rows of a tensor: its first dimension, or 1 for a scalar. */
export function rowsOf(tensor: Pick<Tensor, 'shape'>): number {
  return tensor.shape[0] ?? 1
}

/**
 * The rows from `start` up to but not including `end`, with their own copy of the data; the tensor itself when that is
 * all of it. A scalar has one row. Throws `invalid-argument` when the range lies outside the tensor.
 */
export function sliceRows(tensor: Tensor, start: number, end: number): Tensor {
  const rows = rowsOf(tensor)
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end < start || end > rows) {
    throw new PeltonError('invalid-argument', `these rows are outside tensor ${showValue(tensor.name)}`, {
      field: 'rows',
      value: `${start} to ${end} of ${rows}`,
    })
  }
  if (end - start === rows) return tensor
  const [, ...trailing] = tensor.shape
  if (tensor.shape.length === 0) {
    throw new PeltonError('invalid-argument', 'a scalar cannot be cut into rows', {
      field: tensor.name,
      value: '[]',
    })
  }
  const rowSize = elementCount(trailing)
  const data = copyRange(tensor.data, start * rowSize, end * rowSize)
  return { name: tensor.name, datatype: tensor.datatype, shape: [end - start, ...trailing], data }
}

function copyRange(data: TensorData, start: number, end: number): TensorData {
  // A Buffer is a Uint8Array whose slice is a view.
  return data instanceof Uint8Array ? new Uint8Array(data.subarray(start, end)) : data.slice(start, end)
}

/**
 * One tensor with the rows of all, in order; the tensor itself when there is only one.
 * Throws `invalid-argument` when there is none, when name, datatype or trailing dimensions differ, and for more than
 * one scalar (scalars have no first dimension to join along).
 */
export function concatRows(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors
  if (first === undefined) {
    throw new PeltonError('invalid-argument', 'there is no tensor to join', { field: 'tensors', value: '[]' })
  }
  if (tensors.length === 1) return first
  let rows = 0
  for (const tensor of tensors) {
    if (!canJoin(first, tensor)) {
      throw new PeltonError(
        'invalid-argument',
        `this tensor cannot be joined with ${describeTensor(first)}`,
        {
          field: 'tensors',
          value: describeTensor(tensor),
          remedy: 'Join tensors of the same name, datatype and trailing dimensions, of rank 1 or more.',
        },
      )
    }
    rows += rowsOf(tensor)
  }
  const shape = [rows, ...first.shape.slice(1)]
  return { name: first.name, datatype: first.datatype, shape, data: joinData(tensors, elementCount(shape)) }
}

function canJoin(first: Tensor, other: Tensor): boolean {
  const rank = first.shape.length
  if (rank === 0 || other.shape.length !== rank) return false
  if (other.name !== first.name || other.datatype !== first.datatype) return false
  for (let index = 1; index < rank; index++) {
    if (other.shape[index] !== first.shape[index]) return false
  }
  return true
}

function joinData(tensors: readonly Tensor[], length: number): TensorData {
  const datatype = tensors[0]?.datatype ?? 'BYTES'
  // Same datatype means same array class; the compiler cannot see that, so one class stands for all of them.
  if (datatype === 'BYTES') return tensors.flatMap((tensor) => tensor.data as string[])
  const joined = createTensorData(datatype, length) as Float64Array
  let offset = 0
  for (const tensor of tensors) {
    joined.set(tensor.data as Float64Array, offset)
    offset += tensor.data.length
  }
  return joined
}

function describeTensor(tensor: Tensor): string {
  return `${showValue(tensor.name, 40)} ${tensor.datatype} ${showValue(tensor.shape)}`
}
