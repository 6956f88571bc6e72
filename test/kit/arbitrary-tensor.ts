import fc from 'fast-check'
import {
  createTensorData,
  type Datatype,
  elementCount,
  type Tensor,
} from '../../shared/sdk/contract/tensor.ts'

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }).map((value) => value.replaceAll('\0', '')),
  fc.constantFrom('', '"', '\\', 'a\nb', '\r\t', '😀', 'é:{', '\ufeffx', '\u2028', 'NaN'),
)

/** Any element of a datatype, extremes more often than chance would have them. */
function elementOf(datatype: Datatype): fc.Arbitrary<number | bigint | string> {
  switch (datatype) {
    case 'BOOL':
      return fc.integer({ min: 0, max: 1 })
    case 'UINT8':
      return fc.integer({ min: 0, max: 2 ** 8 - 1 })
    case 'FP16':
    case 'UINT16':
      return fc.integer({ min: 0, max: 2 ** 16 - 1 })
    case 'UINT32':
      return fc.integer({ min: 0, max: 2 ** 32 - 1 })
    case 'UINT64':
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    case 'INT8':
      return fc.integer({ min: -(2 ** 7), max: 2 ** 7 - 1 })
    case 'INT16':
      return fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 })
    case 'INT32':
      return fc.integer()
    case 'INT64':
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    case 'FP32':
      return fc.float()
    case 'FP64':
      return fc.oneof(fc.double(), fc.constantFrom(-0, 2 ** 53, -(2 ** 63), 1e20, 5e-324, Number.MAX_VALUE))
    case 'BYTES':
      return text
  }
}

/** A tensor of this datatype and shape with arbitrary elements. */
export function tensorOf(datatype: Datatype, shape: readonly number[], name = 'x'): fc.Arbitrary<Tensor> {
  const length = elementCount(shape)
  return fc.array(elementOf(datatype), { minLength: length, maxLength: length }).map((elements) => {
    const data = createTensorData(datatype, length)
    for (let index = 0; index < length; index++) data[index] = elements[index] as never
    return { name, datatype, shape, data }
  })
}

/** Shapes of rank 0 to 8 with few elements; dimensions of 0 included. */
export const smallShape: fc.Arbitrary<number[]> = fc.oneof(
  fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
  fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 4, maxLength: 8 }),
)
