import { describe, expect, it } from 'vitest'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
import { differenceOf } from './inspect.ts'

const output = (value: number): Tensor => ({
  name: 'y',
  datatype: 'FP32',
  shape: [1],
  data: Float32Array.of(value),
})

describe('an answer', () => {
  it('is the model’s own to the last bit, with any NaN equal to any other', () => {
    expect(differenceOf([output(0.1)], new Map([['y', Math.fround(0.1)]]))).toBeUndefined()
    expect(differenceOf([output(Number.NaN)], new Map([['y', Number.NaN]]))).toBeUndefined()
  })

  it.each([
    ['another value', [output(0.1)], 'y is 0.10000000149011612, and 0.1 by the model itself'],
    ['another zero', [output(-0)], 'y is 0, and 0.1 by the model itself'],
    ['no value', [], '0 outputs, not 1'],
    ['two values', [{ ...output(1), shape: [2], data: Float32Array.of(0.1, 0.1) }], /by the model itself/],
  ])('differs by %s', (_what, outputs, problem) => {
    expect(differenceOf(outputs, new Map([['y', 0.1]]))).toMatch(problem)
  })
})
