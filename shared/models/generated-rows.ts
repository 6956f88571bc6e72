import { toHalfBits } from '../sdk/contract/float16.ts'
import { createTensorData, type Datatype, elementCount, type Tensor } from '../sdk/contract/tensor.ts'
import type { TensorSpec } from './signature.ts'

/** The shape of one row for each input, or of what a model without a free first dimension takes for one run. */
export type RowShapes = readonly (readonly number[])[]

/**
 * Inputs of values most models accept: numbers from 0 to 1, small indices, letters. Rows of different numbers differ.
 *
 * @param shapes one for each input
 */
export function generateRow(inputs: readonly TensorSpec[], shapes: RowShapes, row: number): Tensor[] {
  return inputs.map(({ name, datatype }, index) => {
    const shape = shapes[index] ?? []
    const data = createTensorData(datatype, elementCount(shape))
    for (let at = 0; at < data.length; at++) data[at] = generateElement(datatype, row, at)
    return { name, datatype, shape, data }
  })
}

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
