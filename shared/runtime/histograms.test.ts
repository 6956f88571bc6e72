import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createHistogram } from './histograms.ts'
import type { Metric } from './metrics.ts'

const metric: Metric = {
  name: 'pelton.test',
  prometheus: 'pelton_test',
  kind: 'histogram',
  unit: 's',
  description: 'a test',
  labels: ['a', 'b'],
  sources: ['worker'],
  buckets: [1, 2, 5],
}

describe('createHistogram', () => {
  it('counts an upper bound in its own bucket, and what is above all in the last', () => {
    const histogram = createHistogram(metric)
    for (const value of [0, 1, 1.5, 2, 5, 5.1, 1_000]) histogram.record(value, { a: 'x' })
    expect([...histogram.series.values()]).toMatchObject([{ counts: [2, 2, 1, 2], count: 7 }])
  })

  it('has one series for the same labels, whatever their order and object', () => {
    const histogram = createHistogram(metric)
    const first = { a: 'x', b: 'y' }
    for (const labels of [first, first, { b: 'y', a: 'x' }, { a: 'x' }]) histogram.record(1, labels)
    expect([...histogram.series.values()].map(({ count }) => count)).toEqual([3, 1])
  })

  it('loses no value', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, min: 0, max: 1e6 }), { minLength: 1 }), (values) => {
        const histogram = createHistogram(metric)
        for (const value of values) histogram.record(value, { a: 'x' })
        const [series] = histogram.series.values()
        expect(series?.counts.reduce((sum, count) => sum + count, 0)).toBe(values.length)
        expect(series?.sum).toBeCloseTo(
          values.reduce((sum, value) => sum + value, 0),
          5,
        )
      }),
    )
  })
})
