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
