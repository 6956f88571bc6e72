import { describe, expect, it } from 'vitest'
import { sayingEveryMs } from './worker-flow.ts'

describe('how often a worker speaks of each model', () => {
  it('is every 55 ms where it is alone', () => {
    expect(sayingEveryMs(0, 1)).toBe(55)
    expect(sayingEveryMs(1, 1)).toBe(55)
  })

  it.each([1, 2, 3, 10, 100, 5_000])(
    'is 20 words a second at most of a model, with %i workers',
    (workers) => {
      expect((workers * 1_000) / sayingEveryMs(workers, 1)).toBeLessThanOrEqual(20)
    },
  )

  it.each([1, 20, 100, 5_000])('is 200 words a second at most of a worker, with %i models', (models) => {
    expect((models * 1_000) / sayingEveryMs(1, models)).toBeLessThanOrEqual(200)
  })
})
