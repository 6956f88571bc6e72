import { expect, it } from 'vitest'
import type { Signature } from './signature.ts'
import { describeSignatureChange } from './signature-difference.ts'

const before: Signature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [null, 3] },
    { name: 'old', datatype: 'BYTES', shape: [null, 1] },
  ],
  outputs: [{ name: 'score', datatype: 'FP32', shape: [null, 1] }],
  constants: [],
}

it('names, datatypes and shapes that differ are told one by one', () => {
  const after: Signature = {
    inputs: [
      { name: 'new', datatype: 'INT64', shape: [] },
      { name: 'x', datatype: 'FP32', shape: [null, 4] },
    ],
    outputs: [{ name: 'score', datatype: 'FP64', shape: [null, 1] }],
    constants: [],
  }
  expect(describeSignatureChange(before, after)).toEqual([
    'input "new" is new, INT64[]',
    'input "x" was FP32[?, 3], is FP32[?, 4]',
    'input "old" is gone, BYTES[?, 1]',
    'output "score" was FP32[?, 1], is FP64[?, 1]',
  ])
})

it('the same tensors in another order are no difference', () => {
  const after = { ...before, inputs: before.inputs.toReversed() }
  expect(describeSignatureChange(before, after)).toEqual([])
})
