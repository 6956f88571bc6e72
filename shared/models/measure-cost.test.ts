import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canBeMeasured, measureCost } from './measure-cost.ts'
import type { ServedModel } from './repository.ts'

/** What measuring reads of a model that takes rows of three numbers. */
function model(maxBatchRows: number, facts: Partial<ServedModel> = {}): ServedModel {
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [null, 3] }]
  const signature = { inputs, outputs: [], constants: [] }
  const batchable = maxBatchRows > 1
  return {
    signature,
    batchable,
    maxBatchRows,
    trial: { shapes: [[1, 3]] },
    ...facts,
  } as unknown as ServedModel
}

describe('measureCost', () => {
  it('takes the quickest of several runs of each size, whatever disturbs the others', async () => {
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.double({ min: 0, max: 10, noNaN: true })), async (noise) => {
        const runs = new Map<number, number>()
        const measured = await measureCost(model(64), {
          run: async ([first]) => {
            const rows = first?.shape[0] ?? 0
            const run = runs.get(rows) ?? 0
            runs.set(rows, run + 1)
            const runMs = 2 + 0.01 * rows + (run === 2 ? 0 : (noise.next().value ?? 0))
            return { runMs, tookMs: runMs + 0.1 }
          },
        })
        expect(measured?.batchRows).toBe(64)
        expect(measured?.handOverMs).toBeCloseTo(0.1)
        for (const { rows, ms } of measured?.timings ?? []) expect(ms).toBeGreaterThanOrEqual(2 + 0.01 * rows)
      }),
      { numRuns: 20 },
    )
  })

  it('grows no further than a row gets cheaper, nor to runs that keep a thread for long', async () => {
    const sizes: number[] = []
    const flat = await measureCost(model(64), {
      run: async ([first]) => {
        const rows = first?.shape[0] ?? 0
        sizes.push(rows)
        return { runMs: 10 * rows, tookMs: 10 * rows }
      },
    })
    expect([flat?.batchRows, Math.max(...sizes)]).toEqual([1, 4])
    const slow = await measureCost(model(64), { run: async () => ({ runMs: 400, tookMs: 400 }) })
    expect(slow?.timings).toEqual([{ rows: 1, ms: 400 }])
  })

  it('says before each run how long it will take, and ends where it is given up', async () => {
    const expected: number[] = []
    const measured = await measureCost(model(8), {
      run: async (_inputs, expectedMs) => {
        expected.push(expectedMs)
        return expected.length < 4 ? { runMs: 3, tookMs: 3 } : undefined
      },
    })
    expect(measured).toBeUndefined()
    expect(expected).toEqual([0, 3, 3, 3])
  })
})

describe('canBeMeasured', () => {
  it('is so where there is something to choose, and rows to try it with', () => {
    expect(canBeMeasured(model(64))).toBe(true)
    expect(canBeMeasured(model(1))).toBe(false)
    expect(canBeMeasured(model(64, { trial: { problem: 'it fails' } }))).toBe(false)
  })

  it('is not so where the loop would make rows for longer than events may wait', () => {
    expect(canBeMeasured(model(64, { trial: { shapes: [[1, 100_000]] } }))).toBe(true)
    expect(canBeMeasured(model(64, { trial: { shapes: [[1, 3 * 1024 ** 2]] } }))).toBe(false)
  })
})
