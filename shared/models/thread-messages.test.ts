import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tensorOf } from '../../test/kit/arbitrary-tensor.ts'
import { packTensors } from './thread-messages.ts'

describe('packing tensors', () => {
  const tensor = fc
    .constantFrom('BOOL', 'FP16', 'FP32', 'INT64', 'BYTES')
    .chain((datatype) => fc.nat(9).chain((length) => tensorOf(datatype as 'FP32', [length])))

  it('copies every tensor, each beginning at a multiple of 16 bytes like a buffer of its own', () => {
    fc.assert(
      fc.property(fc.array(tensor, { maxLength: 5 }), (tensors) => {
        const packed = packTensors(tensors)
        expect(packed.tensors).toEqual(tensors)
        for (const { data } of packed.tensors) {
          if (Array.isArray(data)) continue
          expect(data.byteOffset % 16).toBe(0)
          expect(packed.transfer).toContain(data.buffer)
        }
        for (const [index, { data }] of tensors.entries())
          if (!Array.isArray(data)) expect(packed.tensors[index]?.data).not.toBe(data)
      }),
    )
  })
})
