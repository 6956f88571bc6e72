import { type ErrorCode, PeltonError } from '../errors.ts'
import { binarySizeOf, readBinaryData, writeBinaryData } from './binary-tensors.ts'
import { isJsonObject, type JsonObject, type JsonValue, showJson } from './json.ts'
import { readJsonData, writeJsonData } from './json-tensors.ts'
import {
  checkTensor,
  DATATYPES,
  type Datatype,
  isCarriedText,
  isDatatype,
  MAX_RANK,
  type Tensor,
} from './tensor.ts'

/** Bounds on what one body may declare, checked before anything of that size is allocated. */
export interface TensorLimits {
  /** Elements of one tensor. @default 67108864 */
  readonly maxElements?: number
  /** Dimensions of one tensor, at most 8. @default 8 */
  readonly maxRank?: number
  /** Tensors in one body. @default 1024 */
  readonly maxInputs?: number
}

const DEFAULT_MAX_ELEMENTS = 2 ** 26
const DEFAULT_MAX_INPUTS = 1024
const TENSOR_KEYS: ReadonlySet<string> = new Set(['name', 'shape', 'datatype', 'parameters', 'data'])

type ListName = 'inputs' | 'outputs'

/** Which tensors are written as raw bytes: all, none, or those named. */
export type BinaryChoice = boolean | ReadonlySet<string>

/** The raw tensors behind the JSON, and how far they have been read. */
interface RawTensors {
  readonly bytes: Uint8Array
  at: number
}

/**
 * Reads the tensors of a body: those with `parameters.binary_data_size` from `raw`, in order, the others from their
 * `data`. Throws `malformed` (structure), `schema-mismatch` (shapes and values) or `too-large` (limits).
 */
export function readTensors(
  list: ListName,
  value: JsonValue | undefined,
  rawBytes: Uint8Array | undefined,
  limits: TensorLimits,
): Tensor[] {
  if (!Array.isArray(value)) throw malformed(list, value, 'this must be an array of tensors')
  const most = limits.maxInputs ?? DEFAULT_MAX_INPUTS
  if (value.length > most) {
    throw new PeltonError('too-large', `at most ${most} tensors are accepted`, {
      field: list,
      value: showJson(value),
      remedy: 'Join features into fewer tensors.',
    })
  }
  const raw = rawBytes === undefined ? undefined : { bytes: rawBytes, at: 0 }
  const tensors: Tensor[] = []
  for (let index = 0; index < value.length; index++) {
    tensors.push(readTensor(list, index, value[index], raw, limits))
  }
  checkNamesDiffer(list, tensors)
  checkNothingLeft(raw)
  return tensors
}

/** Throws when raw bytes are left that no tensor claimed. */
export function checkNothingLeft(raw: RawTensors | undefined): void {
  if (raw === undefined || raw.at === raw.bytes.length) return
  throw new PeltonError('malformed', 'bytes are left over behind the last tensor', {
    field: 'data',
    value: `${raw.bytes.length - raw.at} bytes`,
    remedy: 'Make the header length and each parameters.binary_data_size cover the body exactly.',
  })
}

/**
 * Writes tensors as the JSON of a list, and says how many raw bytes belong behind it (undefined: none of the tensors
 * is binary). Throws `code` when a tensor is not what its type says, `too-large` when one takes more than `maxLength`
 * characters of JSON.
 */
export function writeTensors(
  list: ListName,
  tensors: readonly Tensor[],
  binary: BinaryChoice,
  code: ErrorCode,
  maxLength?: number,
): { json: string; rawBytes: number | undefined } {
  let json = ''
  let rawBytes: number | undefined
  for (let index = 0; index < tensors.length; index++) {
    const tensor = tensors[index] as Tensor // within the array
    checkTensor(tensor, `${list}[${index}]`, code)
    let content: string
    if (isBinary(tensor, binary)) {
      const size = binarySizeOf(tensor)
      rawBytes = (rawBytes ?? 0) + size
      content = `"parameters":{"binary_data_size":${size}}`
    } else {
      content = `"data":${writeJsonData(tensor, maxLength)}`
    }
    const { name, datatype, shape } = tensor
    json += `${index > 0 ? ',' : ''}{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape}],${content}}`
  }
  checkNamesDiffer(list, tensors, code)
  return { json: `[${json}]`, rawBytes }
}

/** Writes the raw bytes that {@link writeTensors} announced, from `offset` on. */
export function writeRawTensors(
  tensors: readonly Tensor[],
  binary: BinaryChoice,
  target: Buffer,
  offset: number,
): void {
  let at = offset
  for (const tensor of tensors) {
    if (isBinary(tensor, binary)) at = writeBinaryData(tensor, target, at)
  }
}

/** A `malformed` refusal of one field of the body. */
export function malformed(
  field: string,
  value: JsonValue | undefined,
  problem: string,
  remedy = 'Send an Open Inference Protocol V2 body.',
): PeltonError {
  return new PeltonError('malformed', problem, { field, value: showJson(value), remedy })
}

function isBinary(tensor: Tensor, binary: BinaryChoice): boolean {
  return typeof binary === 'boolean' ? binary : binary.has(tensor.name)
}

function readTensor(
  list: ListName,
  index: number,
  value: JsonValue | undefined,
  raw: RawTensors | undefined,
  limits: TensorLimits,
): Tensor {
  const field = `${list}[${index}]`
  if (!isJsonObject(value)) throw malformed(field, value, 'a tensor must be an object')
  if (list === 'inputs') checkTensorKeys(value, field)
  const name = readName(value.name, `${field}.name`)
  const datatype = readDatatype(value.datatype, field)
  const { shape, count } = readShape(value.shape, field, limits)
  const size = readBinarySize(value.parameters, field)
  if (size === undefined) {
    const data = readJsonData(
      datatype,
      shape,
      count,
      Object.hasOwn(value, 'data') ? value.data : undefined,
      field,
    )
    return { name, datatype, shape, data }
  }
  const bytes = takeRaw(raw, size, value, field)
  return { name, datatype, shape, data: readBinaryData(datatype, count, bytes, field) }
}

/** A misspelt key must not be ignored silently. */
function checkTensorKeys(tensor: JsonObject, field: string): void {
  for (const key of Object.keys(tensor)) {
    if (!TENSOR_KEYS.has(key)) {
      const remedy = `Known keys are ${[...TENSOR_KEYS].join(', ')}.`
      throw malformed(field, key, 'a tensor has no such key', remedy)
    }
  }
}

/** A name of a tensor. Throws `malformed` unless it is well-formed text of one character or more. */
export function readName(value: JsonValue | undefined, field: string): string {
  if (typeof value === 'string' && value !== '' && isCarriedText(value)) return value
  throw malformed(field, value, 'a name must be a non-empty string of well-formed text')
}

function readDatatype(value: JsonValue | undefined, field: string): Datatype {
  if (isDatatype(value)) return value
  throw malformed(
    `${field}.datatype`,
    value,
    'this datatype is not known',
    `Use one of ${DATATYPES.join(', ')}.`,
  )
}

/** Counts as it checks: the product must not pass the limits even where a zero dimension would hide it. */
function readShape(
  value: JsonValue | undefined,
  field: string,
  limits: TensorLimits,
): { shape: readonly number[]; count: number } {
  if (!Array.isArray(value)) throw malformed(`${field}.shape`, value, 'a shape must be an array of integers')
  const maxRank = Math.min(limits.maxRank ?? MAX_RANK, MAX_RANK)
  if (value.length > maxRank) {
    throw mismatch(`${field}.shape`, `a tensor has at most ${maxRank} dimensions`, value.length)
  }
  let count = 1
  let extent = 1
  for (let index = 0; index < value.length; index++) {
    const dimension = value[index]
    if (typeof dimension !== 'number' || !Number.isSafeInteger(dimension) || dimension < 0) {
      throw mismatch(`${field}.shape[${index}]`, 'a dimension must be an integer of 0 or more', dimension)
    }
    count *= dimension
    extent *= dimension === 0 ? 1 : dimension
  }
  checkExtent(extent, value, `${field}.shape`, limits)
  return { shape: value, count }
}

function checkExtent(extent: number, shape: readonly number[], field: string, limits: TensorLimits): void {
  const most = limits.maxElements ?? DEFAULT_MAX_ELEMENTS
  if (extent <= most) return
  const code = extent > Number.MAX_SAFE_INTEGER ? 'schema-mismatch' : 'too-large'
  throw new PeltonError(code, `a tensor may hold at most ${most} elements`, {
    field,
    value: `[${shape}]`,
    remedy: 'Send fewer rows in one event.',
  })
}

function mismatch(field: string, problem: string, value: JsonValue | undefined): PeltonError {
  const remedy = 'Correct the shape; the first dimension counts the rows.'
  return new PeltonError('schema-mismatch', problem, { field, value: showJson(value), remedy })
}

/** Other parameters of a tensor are for other servers, except those that say the data is elsewhere. */
function readBinarySize(parameters: JsonValue | undefined, field: string): number | undefined {
  if (parameters === undefined) return undefined
  if (!isJsonObject(parameters))
    throw malformed(`${field}.parameters`, parameters, 'parameters must be an object')
  checkNoSharedMemory(parameters, field)
  if (!Object.hasOwn(parameters, 'binary_data_size')) return undefined
  const size = parameters.binary_data_size
  if (typeof size === 'number' && Number.isSafeInteger(size) && size >= 0) return size
  throw malformed(`${field}.parameters.binary_data_size`, size, 'this must be a number of bytes')
}

/** Refuses Triton's shared memory parameters: a worker cannot reach the memory of a producer. */
export function checkNoSharedMemory(parameters: JsonObject, field: string): void {
  if (!Object.hasOwn(parameters, 'shared_memory_region')) return
  const path = `${field}.parameters.shared_memory_region`
  const remedy = 'Send the data in the body.'
  throw malformed(path, parameters.shared_memory_region, 'shared memory is not supported', remedy)
}

function takeRaw(raw: RawTensors | undefined, size: number, tensor: JsonObject, field: string): Uint8Array {
  const path = `${field}.parameters.binary_data_size`
  if (Object.hasOwn(tensor, 'data')) {
    throw malformed(path, size, 'a tensor has either data or binary_data_size', 'Leave one of them out.')
  }
  if (raw === undefined) {
    const remedy = 'Send application/octet-stream and Inference-Header-Content-Length.'
    throw malformed(path, size, 'this body has no binary part', remedy)
  }
  const end = raw.at + size
  if (end > raw.bytes.length) {
    const problem = `only ${raw.bytes.length - raw.at} bytes are left in the body`
    throw malformed(path, size, problem, 'Send every tensor whole, in the order of the list.')
  }
  const bytes = raw.bytes.subarray(raw.at, end)
  raw.at = end
  return bytes
}

function checkNamesDiffer(
  list: ListName,
  tensors: readonly Tensor[],
  code: ErrorCode = 'schema-mismatch',
): void {
  if (tensors.length < 2) return
  const names = new Set<string>()
  for (let index = 0; index < tensors.length; index++) {
    const name = tensors[index]?.name ?? ''
    if (names.has(name)) {
      const remedy = 'Give each tensor its own name.'
      const details = { field: `${list}[${index}].name`, value: showJson(name), remedy }
      throw new PeltonError(code, 'this name appears twice', details)
    }
    names.add(name)
  }
}
