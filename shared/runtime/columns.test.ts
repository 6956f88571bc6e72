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

  it('pads by what is shown: escapes as they are written, wide characters as two, marks as none', () => {
    const rows = [
      ['\u001b[2J', '|'],
      ['東京', '|'],
      ['e\u0301', '|'],
    ]
    expect(alignColumns(rows)).toEqual(['\\u001b[2J  |', '東京       |', 'e\u0301          |'])
  })
})
