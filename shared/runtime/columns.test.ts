import { describe, expect, it } from 'vitest'
import { alignColumns } from './columns.ts'

describe('alignColumns', () => {
  it('pads every column but the last', () => {
    expect(alignColumns([['A', 'LONG', 'C'], ['wide', 'b', 'c'], ['x']])).toEqual([
      'A     LONG  C',
      'wide  b     c',
      'x',
    ])
  })
})
