import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { smallShape, tensorOf } from '../../../test/kit/arbitrary-tensor.ts'
import {
  checkTensor,
  concatRows,
  createTensorData,
  DATATYPES,
  elementCount,
  elementSizeBytes,
  isCarriedText,
  isDatatype,
  rowsOf,
  sliceRows,
  type Tensor,
} from './tensor.ts'

const matrix: Tensor = { name: 'x', datatype: 'FP32', shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) }
const scalar: Tensor = { name: 'x', datatype: 'INT64', shape: [], data: BigInt64Array.of(7n) }

describe('shapes', () => {
  it('count their elements', () => {
    expect(elementCount([])).toBe(1)
    expect(elementCount([2, 3, 4])).toBe(24)
    expect(elementCount([2, 0, 4])).toBe(0)
  })

  it.each([[[-1]], [[1.5]], [[2 ** 53]], [[Number.NaN]], [[2 ** 40, 2 ** 40]], [[0, 2 ** 40, 2 ** 40]]])(
    'refuse %j',
    (shape) => {
      expect(() => elementCount(shape)).toThrow(/invalid-argument: .*shape/)
    },
  )
})

describe('datatypes', () => {
  it.each(DATATYPES)('%s has zeroed data of the asked length', (datatype) => {
    const data = createTensorData(datatype, 3)
    expect(data.length).toBe(3)
    expect(data[0]).toBe(datatype === 'BYTES' ? '' : datatype.endsWith('INT64') ? 0n : 0)
    const size = elementSizeBytes(datatype)
    if (!Array.isArray(data)) expect(data.BYTES_PER_ELEMENT).toBe(size)
    else expect(size).toBeUndefined()
  })

  it('are known by name only', () => {
    expect(isDatatype('FP32')).toBe(true)
    for (const name of ['fp32', 'toString', '__proto__', '', 32, null]) expect(isDatatype(name)).toBe(false)
  })
})

describe('carried text', () => {
  it('has no NUL and no lone surrogate', () => {
    expect(isCarriedText('a 😀 "\n')).toBe(true)
    expect(isCarriedText('a\0b')).toBe(false)
    expect(isCarriedText('\ud83d')).toBe(false)
    expect(isCarriedText('\ude00\ud83d')).toBe(false)
  })
})

describe('checkTensor', () => {
  it('accepts every tensor that is what its type says', () => {
    const any = fc
      .tuple(fc.constantFrom(...DATATYPES), smallShape)
      .chain(([type, shape]) => tensorOf(type, shape))
    fc.assert(fc.property(any, (tensor) => checkTensor(tensor, 'inputs[0]', 'invalid-argument')))
  })

  it.each<[string, Partial<Tensor>]>([
    ['name', { name: '' }],
    ['name', { name: 'a\0' }],
    ['datatype', { datatype: 'BF16' as never }],
    ['data', { data: Float64Array.of(1, 2, 3, 4, 5, 6) }],
    ['data.length', { shape: [3, 3] }],
    ['shape', { shape: [1, 1, 1, 1, 1, 1, 1, 3, 2] }],
    ['data[2]', { datatype: 'BOOL', shape: [3], data: Uint8Array.of(0, 1, 2) }],
    ['data[1]', { datatype: 'BYTES', shape: [2], data: ['a', '\ud800'] }],
  ])('names %s when it is wrong', (part, wrong) => {
    const check = () => checkTensor({ ...matrix, ...wrong }, 'outputs[1]', 'invalid-output')
    expect(check).toThrow(expect.objectContaining({ code: 'invalid-output' }))
    expect(check).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ field: `outputs[1].${part}` }) }),
    )
  })
})

describe('rows', () => {
  it('are the first dimension, one for a scalar', () => {
    expect(rowsOf(matrix)).toBe(3)
    expect(rowsOf(scalar)).toBe(1)
  })

  it('are cut out with a copy of their data', () => {
    const rows = sliceRows(matrix, 1, 3)
    expect(rows).toEqual({ ...matrix, shape: [2, 2], data: Float32Array.of(3, 4, 5, 6) })
    rows.data[0] = 9
    expect(matrix.data[2]).toBe(3)
    const buffer: Tensor = { name: 'b', datatype: 'UINT8', shape: [4], data: Buffer.from([1, 2, 3, 4]) }
    const cut = sliceRows(buffer, 0, 2)
    cut.data[0] = 9
    expect(buffer.data[0]).toBe(1)
  })

  it('are refused outside the tensor and in a scalar', () => {
    for (const [start, end] of [
      [-1, 2],
      [0, 4],
      [2, 1],
      [0.5, 1],
    ] as const) {
      expect(() => sliceRows(matrix, start, end)).toThrow(/invalid-argument/)
    }
    expect(sliceRows(scalar, 0, 1)).toBe(scalar)
    expect(() => sliceRows(scalar, 0, 0)).toThrow(/invalid-argument/)
  })

  it('come back when joined rows are cut apart again', () => {
    const parts = fc
      .tuple(fc.constantFrom(...DATATYPES), smallShape, fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }))
      .chain(([type, trailing, counts]) =>
        fc.tuple(...counts.map((rows) => tensorOf(type, [rows, ...trailing.slice(0, 7)]))),
      )
    fc.assert(
      fc.property(parts, (tensors: Tensor[]) => {
        const joined = concatRows(tensors)
        let start = 0
        for (const tensor of tensors) {
          const end = start + rowsOf(tensor)
          expect(sliceRows(joined, start, end)).toEqual(tensor)
          start = end
        }
        expect(rowsOf(joined)).toBe(start)
      }),
    )
  })

  it.each<[string, Tensor[]]>([
    ['nothing', []],
    ['scalars', [scalar, scalar]],
    ['other names', [matrix, { ...matrix, name: 'y' }]],
    ['other datatypes', [matrix, { ...matrix, datatype: 'FP64', data: new Float64Array(6) }]],
    ['other trailing dimensions', [matrix, { ...matrix, shape: [2, 3] }]],
    ['other ranks', [matrix, { ...matrix, shape: [6] }]],
  ])('of %s are not joined', (_what, tensors) => {
    expect(() => concatRows(tensors)).toThrow(/invalid-argument/)
  })
})
