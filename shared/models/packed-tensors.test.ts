import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tensorOf } from '../../test/kit/arbitrary-tensor.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { copyTensors, packTensors, unpackTensors } from './packed-tensors.ts'
import { packTexts } from './work.ts'

const tensor = fc
  .constantFrom('BOOL', 'FP16', 'FP32', 'INT64', 'BYTES')
  .chain((datatype) => fc.nat(9).chain((length) => tensorOf(datatype as 'FP32', [length])))
const tensors = fc.array(tensor, { maxLength: 5 })

/** What arrives at the other side of a message. */
function sent(given: readonly Tensor[], areKept?: boolean): Tensor[] {
  const { packed, transfer } = packTensors(given, areKept)
  return unpackTensors(structuredClone(packed, { transfer }))
}

const plain = ({ name, datatype, shape, data }: Tensor): unknown => ({ name, datatype, shape, data })

/** As the runtime sums: a tensor that begins elsewhere is summed in another order. */
function beginsAligned({ data }: Tensor): boolean {
  return Array.isArray(data) || data.byteOffset % 16 === 0
}

describe('packing tensors', () => {
  it('carries every tensor, each beginning at a multiple of 16 bytes like a buffer of its own', () => {
    fc.assert(
      fc.property(tensors, fc.boolean(), (given, areKept) => {
        const before = structuredClone(given)
        const arrived = sent(given, areKept)
        expect(arrived).toEqual(before)
        expect(arrived.every(beginsAligned)).toBe(true)
        // The originals stay usable.
        expect(given).toEqual(before)
      }),
    )
  })

  it('hands over what nobody needs again, in however many buffers, unless it is kept', () => {
    fc.assert(
      fc.property(tensors, fc.boolean(), fc.boolean(), (given, areKept, isOneBuffer) => {
        const own = (isOneBuffer ? copyTensors(given) : given.map(packTexts)).map((each) => ({
          ...each,
          isOwned: true,
        }))
        const before = structuredClone(own)
        const arrived = sent(own, areKept)
        expect(arrived.map(plain)).toEqual(before.map(plain))
        expect(arrived.every(beginsAligned)).toBe(true)
        if (areKept) expect(own).toEqual(before)
        else for (const { data } of own) if (!Array.isArray(data)) expect(data.buffer.byteLength).toBe(0)
      }),
    )
  })

  it('refuses a text that the runtime would cut', () => {
    const text = (data: string[]): Tensor => ({ name: 't', datatype: 'BYTES', shape: [data.length], data })
    expect(() => sent([text(['a\0b'])])).toThrow(/NUL/)
    for (const texts of [[], [''], ['', ''], ['a', '']]) expect(sent([text(texts)])).toEqual([text(texts)])
  })
})

it('copied tensors begin at multiples of 16 bytes, wherever the originals did', () => {
  const bytes = new Uint8Array(64)
  const given = [4, 12].map((offset): Tensor => {
    const data = new Float32Array(bytes.buffer, offset, 2)
    return { name: 'x', datatype: 'FP32', shape: [2], data }
  })
  const copies = copyTensors(given)
  expect(copies).toEqual(given)
  expect(copies.every(beginsAligned)).toBe(true)
})
