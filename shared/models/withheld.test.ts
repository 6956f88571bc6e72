import { describe, expect, it } from 'vitest'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { isWithheld, withhold } from './withheld.ts'

const rows = (count: number): Tensor => ({
  name: 'y',
  datatype: 'FP32',
  shape: [count, 10],
  data: new Float32Array(count * 10),
})

describe('outputs that no answer could hold', () => {
  it('come without their values, and with name, datatype and shape', () => {
    const [output] = withhold([rows(100)], { maxBytes: 1_999, leastRows: undefined })
    expect(output).toEqual({ name: 'y', datatype: 'FP32', shape: [100, 10], data: [] })
    expect(isWithheld(output as Tensor)).toBe(true)
  })

  it('are whole where the shortest JSON of them might fit', () => {
    const outputs = [rows(100)]
    expect(withhold(outputs, { maxBytes: 2_000, leastRows: undefined })).toBe(outputs)
    expect(isWithheld(rows(100))).toBe(false)
  })

  it('are whole where one event has so few rows that they fit', () => {
    const outputs = [rows(100)]
    expect(withhold(outputs, { maxBytes: 20, leastRows: 1 })).toBe(outputs)
    expect(withhold(outputs, { maxBytes: 19, leastRows: 1 })[0]?.data).toHaveLength(0)
  })

  it('leave the others of their run as they are', () => {
    const small: Tensor = { name: 'n', datatype: 'BOOL', shape: [2], data: new Uint8Array([1, 0]) }
    expect(withhold([small, rows(100)], { maxBytes: 100, leastRows: undefined })[0]).toBe(small)
  })

  it('are none where there are no values: an empty output is no withheld one', () => {
    const empty: Tensor = { name: 'y', datatype: 'FP32', shape: [0, 10], data: new Float32Array(0) }
    expect(isWithheld(empty)).toBe(false)
    expect(withhold([empty], { maxBytes: 1, leastRows: 0 })[0]).toBe(empty)
  })
})
