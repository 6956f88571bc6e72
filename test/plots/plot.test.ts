import { describe, expect, it } from 'vitest'
import { type Panel, plotSvg } from './plot.ts'
import { linearScale, logScale } from './scale.ts'

const panel: Panel = {
  ...{ title: 'rates', x: 'seconds', y: 'events a second' },
  series: [
    {
      name: 'offered',
      isArea: true,
      points: [
        [0, 10],
        [10, 90],
      ],
    },
    {
      name: 'in time <deadline>',
      points: [
        [0, 10],
        [2, Number.NaN],
        [4, 30],
        [10, 40],
      ],
    },
  ],
  marks: [{ x: 5, name: 'chosen' }],
}

describe('a plot', () => {
  const svg = plotSvg('Load', [panel, panel])

  it('is the same bytes for the same numbers', () => {
    expect(plotSvg('Load', [panel, panel])).toBe(svg)
  })

  it('can be read on light pages and on dark ones, and has a title for those who cannot see it', () => {
    expect(svg).toContain('<title>Load</title>')
    expect(svg).toMatch(/\.page\{fill:#fff\}.*prefers-color-scheme:dark\)\{\.page\{fill:#0d1117\}/)
  })

  it('has every name, with nothing that ends an element', () => {
    for (const name of [
      'rates',
      'seconds',
      'events a second',
      'offered',
      'in time &lt;deadline&gt;',
      'chosen',
    ])
      expect(svg).toContain(`>${name}</text>`)
  })

  it('leaves a gap where there is no number', () => {
    expect(svg).not.toContain('NaN')
    expect(svg.match(/<circle/g)).toHaveLength(2) // a piece of one point, in each panel
  })

  it('draws what is greater higher, within its page', () => {
    const [, points = ''] = /<polyline class="line s0" points="([^"]*)"/.exec(svg) ?? []
    const [[x1 = 0, y1 = 0], [x2 = 0, y2 = 0]] = points
      .split(' ')
      .map((point) => point.split(',').map(Number)) as [number[], number[]]
    expect(x1).toBeLessThan(x2)
    expect(y1).toBeGreaterThan(y2)
    expect(x2).toBeLessThanOrEqual(760)
  })

  it('is drawn where all numbers are one', () => {
    const flat: Panel = { ...panel, series: [{ name: 'flat', points: [[1, 0]] }], marks: [], xTicks: [1] }
    expect(plotSvg('Flat', [flat])).not.toMatch(/NaN|Infinity/)
  })
})

describe('a scale', () => {
  it('goes by round numbers', () => {
    expect(linearScale(0, 93).ticks).toEqual([0, 20, 40, 60, 80, 100])
    expect(linearScale(0, 93).at(50)).toBeCloseTo(0.5)
    expect(linearScale(0, 0.05).ticks.map((tick) => tick.toFixed(2))).toEqual([
      ...['0.00', '0.01', '0.02', '0.03', '0.04', '0.05'],
    ])
  })

  it('goes by ratios', () => {
    const scale = logScale([1, 10, 100])
    expect([1, 10, 100].map((value) => scale.at(value))).toEqual([0, 0.5, 1])
  })
})
