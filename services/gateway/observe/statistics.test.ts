import { expect, it } from 'vitest'
import type { EndedRequest } from '../core/figures.ts'
import { createStatistics } from './statistics.ts'

const REFUSED: EndedRequest = {
  ...{ model: 'm', modelVersion: undefined, protocol: 'open-inference', ended: 'refused', status: 503 },
  ...{
    reason: 'overloaded',
    durationMs: 1,
    queueMs: undefined,
    inferenceMs: undefined,
    batchRows: undefined,
  },
}

it('of versions beyond the bound the one asked for longest ago makes room, and begins anew', () => {
  const statistics = createStatistics(3)
  for (const [at, model] of ['a', 'b', 'c', 'a', 'd', 'b'].entries()) statistics.add(model, REFUSED, at)
  expect(statistics.read().map(({ name, last_inference: at }) => [name, at])).toEqual([
    ['a', 3],
    ['d', 4],
    ['b', 5],
  ])
  expect(statistics.read('a')[0]?.inference_stats.fail.count).toBe(2)
  expect(statistics.read('b')[0]?.inference_stats.fail.count).toBe(1)
})

it('names that could be those of a model and a version together are told apart', () => {
  const statistics = createStatistics()
  statistics.add('a', { ...REFUSED, modelVersion: '1' }, 0)
  for (const name of ['1 a 1', 'a 1', 'a']) statistics.add(name, REFUSED, 0)
  expect(statistics.read()).toHaveLength(4)
})
