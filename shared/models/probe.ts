import { fromHalfBits, toHalfBits } from '../sdk/contract/float16.ts'
import {
  concatRows,
  createTensorData,
  type Datatype,
  elementCount,
  rowsOf,
  sliceRows,
  type Tensor,
} from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { hasDynamicRows, type Signature, type TensorSpec } from './signature.ts'

/** Whether rows of different events may share a run of the model. */
export interface Batchability {
  readonly batchable: boolean
  /** Why not. */
  readonly reason?: string
}

type Run = (inputs: readonly Tensor[]) => Promise<readonly Tensor[]>

const ROWS = 3
/** Sizes tried for free dimensions other than the first, until the model accepts one: column counts, lengths, sides. */
const SIZES = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 16, 20, 24, 28, 30, 32, 48, 64, 100, 128, 224, 256, 512,
]

/**
 * Tries the model on generated rows, one by one and all in one run. Rows may share a run when every output has a row
 * for each and gives what the row alone gives, to within 1e-5 of the largest value (half precision: 2e-3).
 * A model that fails on generated rows is not batchable; that says nothing against the model.
 */
export async function probeBatching(signature: Signature, run: Run): Promise<Batchability> {
  if (!hasDynamicRows(signature)) return no('not every input has a free first dimension')
  const size = await findSize(signature, run)
  if (typeof size !== 'number') return no(`it fails on generated inputs (${size.reason})`)
  const rows = Array.from({ length: ROWS }, (_, row) => generateRow(signature, row, size))
  try {
    const single: (readonly Tensor[])[] = []
    for (const row of rows) single.push(await run(row))
    const joined = signature.inputs.map((_, index) => concatRows(rows.map((row) => row[index] as Tensor)))
    const reason = compare(await run(joined), single)
    return reason === undefined ? { batchable: true } : no(reason)
  } catch (thrown) {
    return no(`it fails on generated inputs (${reasonOf(thrown)})`)
  }
}

function no(reason: string): Batchability {
  return { batchable: false, reason }
}

async function findSize(signature: Signature, run: Run): Promise<number | { reason: string }> {
  const hasFreeSize = signature.inputs.some((input) => input.shape.slice(1).includes(null))
  let reason = ''
  for (const size of hasFreeSize ? SIZES : [1]) {
    try {
      await run(generateRow(signature, 0, size))
      return size
    } catch (thrown) {
      reason = reasonOf(thrown)
    }
  }
  return { reason }
}

function generateRow(signature: Signature, row: number, size: number): Tensor[] {
  return signature.inputs.map(({ name, datatype, shape }: TensorSpec) => {
    const full = shape.map((dimension, index) => dimension ?? (index === 0 ? 1 : size))
    const data = createTensorData(datatype, elementCount(full))
    for (let index = 0; index < data.length; index++) data[index] = generateElement(datatype, row, index)
    return { name, datatype, shape: full, data }
  })
}

/** Rows that differ, of values most models accept: numbers from 0 to 1, small indices, letters. */
function generateElement(datatype: Datatype, row: number, index: number): never {
  const fraction = ((index * 7919 + row * 104_729 + 17) % 1000) / 1000
  const small = (index + row) % 2
  return value() as never // the caller's array is of the same datatype, which the compiler cannot pair up

  function value(): number | bigint | string {
    if (datatype === 'FP32' || datatype === 'FP64') return fraction
    if (datatype === 'FP16') return toHalfBits(fraction)
    if (datatype === 'BYTES') return 'abc'[row] ?? 'a'
    return datatype === 'INT64' || datatype === 'UINT64' ? BigInt(small) : small
  }
}

function compare(batch: readonly Tensor[], single: readonly (readonly Tensor[])[]): string | undefined {
  for (let output = 0; output < batch.length; output++) {
    const joined = batch[output] as Tensor // within the array
    if (joined.shape.length === 0 || rowsOf(joined) !== ROWS) {
      return `output ${joined.name} has no row for each row of the inputs`
    }
    for (let row = 0; row < ROWS; row++) {
      const alone = single[row]?.[output]
      if (alone === undefined || !isSameRow(sliceRows(joined, row, row + 1), alone)) {
        return `output ${joined.name} of a row depends on the other rows of its run, or changes from run to run`
      }
    }
  }
  return undefined
}

function isSameRow(left: Tensor, right: Tensor): boolean {
  if (left.data.length !== right.data.length || String(left.shape) !== String(right.shape)) return false
  if (left.datatype !== 'FP32' && left.datatype !== 'FP64' && left.datatype !== 'FP16') {
    return left.data.every((value: unknown, index: number) => value === right.data[index])
  }
  const [a, b] = [numbersOf(left), numbersOf(right)]
  const largest = a.reduce((most, value, index) => Math.max(most, finite(value), finite(b[index] ?? 0)), 0)
  const tolerance = largest * (left.datatype === 'FP16' ? 2e-3 : 1e-5)
  return a.every((value, index) => {
    const other = b[index] ?? 0
    return Object.is(value, other) || Math.abs(value - other) <= tolerance
  })
}

function finite(value: number): number {
  return Number.isFinite(value) ? Math.abs(value) : 0
}

function numbersOf({ datatype, data }: Tensor): number[] {
  const numbers = Array.from(data as Float64Array) // floats of one of three widths
  return datatype === 'FP16' ? numbers.map(fromHalfBits) : numbers
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof PeltonError ? thrown.description : String(thrown)
}
