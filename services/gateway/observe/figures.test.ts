import { describe, expect, test } from 'vitest'
import type { EndedRequest } from '../core/figures.ts'
import { createFigures } from './figures.ts'

const predicted: EndedRequest = {
  model: 'churn',
  modelVersion: '3',
  protocol: 'open-inference',
  ended: 'prediction',
  status: 200,
  reason: undefined,
  durationMs: 12.5,
  queueMs: 4,
  inferenceMs: 2,
  batchRows: 1,
}
const failed: EndedRequest = {
  ...predicted,
  ended: 'failure',
  status: 422,
  reason: 'schema-mismatch',
  modelVersion: undefined,
  durationMs: 3,
  queueMs: undefined,
  inferenceMs: undefined,
  batchRows: undefined,
}
const NONE = { count: 0, ns: 0 }

describe('statistics', () => {
  test('are those of the Open Inference Protocol, in nanoseconds', () => {
    const figures = createFigures({ hasMetrics: false, now: () => 1_700_000_000_123 })
    figures.ended(predicted)
    figures.ended({ ...predicted, durationMs: 7.5, queueMs: 1, inferenceMs: 3 })
    expect(figures.statistics('churn', '3')).toEqual([
      {
        name: 'churn',
        version: '3',
        inference_count: 2,
        execution_count: 2,
        last_inference: 1_700_000_000_123,
        inference_stats: {
          success: { count: 2, ns: 20_000_000 },
          fail: NONE,
          queue: { count: 2, ns: 5_000_000 },
          compute_input: NONE,
          compute_infer: { count: 2, ns: 5_000_000 },
          compute_output: NONE,
          cache_hit: NONE,
          cache_miss: NONE,
        },
        batch_stats: [],
      },
    ])
  })

  test('have rows, and of a shared model call the share that these rows were', () => {
    const figures = createFigures({ hasMetrics: false })
    for (let request = 0; request < 10; request++) figures.ended({ ...predicted, rows: 1, batchRows: 10 })
    expect(figures.statistics()).toMatchObject([{ inference_count: 10, execution_count: 1 }])
    figures.ended({ ...predicted, rows: 64, batchRows: 64 })
    expect(figures.statistics()).toMatchObject([{ inference_count: 74, execution_count: 2 }])
    // A call that it shared with many others was a call.
    figures.ended({ ...predicted, rows: 1, batchRows: 1_000 })
    expect(figures.statistics()).toMatchObject([{ inference_count: 75, execution_count: 3 }])
  })

  test('keep what ended without a version apart from the versions', () => {
    const figures = createFigures({ hasMetrics: false })
    figures.ended(predicted)
    for (const ended of ['failure', 'timeout', 'refused', 'left'] as const)
      figures.ended({ ...failed, ended })
    const [served, none, ...more] = figures.statistics('churn')
    expect(served).toMatchObject({ version: '3', inference_stats: { success: { count: 1 }, fail: NONE } })
    expect(none).not.toHaveProperty('version')
    expect(none).toMatchObject({
      inference_count: 0,
      execution_count: 0,
      inference_stats: { success: NONE, fail: { count: 4, ns: 12_000_000 }, queue: NONE },
    })
    expect(more).toEqual([])
    expect(figures.statistics('churn', '3')).toEqual([served])
  })

  test('are asked for by model and version', () => {
    const figures = createFigures({ hasMetrics: false })
    for (const [model, modelVersion] of [
      ['churn', '3'],
      ['churn', '4'],
      ['price', '3'],
    ] as const)
      figures.ended({ ...predicted, model, modelVersion })
    const named = (model?: string, version?: string) =>
      figures.statistics(model, version).map((each) => `${each.name}/${each.version}`)
    expect(named()).toEqual(['churn/3', 'churn/4', 'price/3'])
    expect(named('churn')).toEqual(['churn/3', 'churn/4'])
    expect(named('price', '3')).toEqual(['price/3'])
    expect(named('price', '4')).toEqual([])
  })

  test('do not count what is neither yet, what is fetched again, and models that nobody has', () => {
    const figures = createFigures({ hasMetrics: false })
    figures.ended({ ...predicted, protocol: 'results' })
    figures.ended({ ...failed, model: undefined, ended: 'refused', status: 404 })
    figures.ended({ ...failed, model: 'made-up', reason: 'unknown-model' })
    expect(figures.statistics()).toEqual([])
    figures.ended({ ...failed, ended: 'accepted', status: 202, reason: undefined })
    expect(figures.statistics()).toMatchObject([{ inference_stats: { success: NONE, fail: NONE } }])
  })

  test('are of a bounded number of versions: those asked for last', () => {
    const figures = createFigures({ hasMetrics: false })
    figures.ended({ ...predicted, model: 'old' })
    figures.ended({ ...predicted, model: 'kept' })
    for (let index = 0; index < 1_022; index++) figures.ended({ ...predicted, model: `m${index}` })
    figures.ended({ ...predicted, model: 'kept' })
    figures.ended({ ...predicted, model: 'new' })
    expect(figures.statistics()).toHaveLength(1_024)
    expect(figures.statistics('old')).toEqual([])
    expect(figures.statistics('kept')).toMatchObject([{ inference_count: 2 }])
  })
})
