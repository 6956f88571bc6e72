import { expect, it } from 'vitest'
import { fitCost } from '../../../shared/models/batch-cost.ts'
import { batchLines } from './checked.ts'

const model = { batchable: true, maxBatchRows: 64 }
const timings = (costOf: (rows: number) => number) =>
  [1, 2, 4, 8, 16, 32, 64, 128, 256].map((rows) => ({ rows, ms: costOf(rows) }))

function lines(costOf: (rows: number) => number, over: Partial<typeof model> = {}): string[] {
  const measurement = { timings: timings(costOf) }
  return batchLines({ model: { ...model, ...over }, measurement, cost: fitCost(measurement.timings) })
}

it('a run that costs the same for any rows is told in words, and no row has a share of 0.0 µs', () => {
  const [first = '', knee] = lines(() => 0.019)
  expect(first).toBe(
    'yes, up to 64 rows; a run of 256 takes hardly longer than one of 1, 19 µs: the share of a row is too small to measure',
  )
  expect(knee).toBe('knee at 256 rows: 74 ns a row, 256.0 times less than alone')
})

it('a share of rows that can be measured is told as a formula', () => {
  const [first, knee, more] = lines((rows) => 0.1 + 0.002 * rows)
  expect(first).toBe('yes, up to 64 rows; t(b) ≈ 100 µs + 2.0 µs · b')
  expect(knee).toMatch(/^knee at 256 rows: 2\.4 µs a row, 42\.7 times less than alone$/)
  expect(more).toBe('batching: {maxRows: 256} in the manifest would make a row cheaper')
})

it('a model whose rows may not share a run has the time of one event', () => {
  expect(lines(() => 0.5, { batchable: false })).toEqual(['no: one event a run, 500 µs'])
})
