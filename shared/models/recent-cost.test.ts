import { describe, expect, it } from 'vitest'
import { RecentCost } from './recent-cost.ts'

const costAfter = (...runs: readonly (readonly [rows: number, ms: number])[]): RecentCost => {
  const cost = new RecentCost()
  for (const ms of [500, 300]) cost.ran(8, ms) // the first runs
  for (const [rows, ms] of runs) cost.ran(rows, ms)
  return cost
}

describe('RecentCost', () => {
  it('knows nothing by the first runs', () => expect(costAfter().line).toBeUndefined())

  it('takes all of the cost to go by the rows while they are alike', () => {
    expect(costAfter([16, 160], [16, 160], [16, 160]).line).toEqual({
      fixedMs: 0,
      perRowMs: expect.closeTo(10),
      alikeRows: 16,
    })
  })

  it('tells the fixed part once rows differ', () => {
    const { line } = costAfter(
      ...Array.from(
        { length: 20 },
        () =>
          [
            [16, 66],
            [2, 52],
            [4, 54],
          ] as const,
      ).flat(),
    )
    expect(line).toEqual({ fixedMs: expect.closeTo(50, 0), perRowMs: expect.closeTo(1, 1) })
  })

  it('goes by the last runs: a model that has become cheaper is so after some tens', () => {
    const runs = (perRowMs: number) =>
      Array.from({ length: 60 }, (_, at) => [1 + (at % 8), perRowMs * (1 + (at % 8))] as const)
    expect(costAfter(...runs(10), ...runs(1)).line?.perRowMs).toBeLessThan(1.5)
  })

  it('hardly goes by a run that was disturbed', () => {
    const quick = [
      [8, 8],
      [4, 4],
      [8, 8],
      [4, 4],
      [8, 8],
    ] as const
    expect(costAfter(...quick, [8, 800]).line?.perRowMs).toBeLessThan(3)
  })

  it('goes by the last alone where several in a row were longer: the model has become dearer', () => {
    const cost = costAfter(...Array.from({ length: 30 }, () => [8, 8] as const))
    for (const rows of [25, 23, 22]) cost.ran(rows, 100 * rows)
    expect(cost.line).toEqual({ fixedMs: 0, perRowMs: expect.closeTo(100), alikeRows: 22 })
  })

  it('takes neither part for less than nothing', () => {
    const { line } = costAfter([1, 10], [16, 5])
    expect(line?.perRowMs).toBe(0)
    expect(line?.fixedMs).toBeGreaterThan(0)
  })
})
