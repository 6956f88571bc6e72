import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CostWatch, LONG_ENOUGH_MS } from './cost-watch.ts'

const line = { fixedMs: 1, perRowMs: 0.1 }
const STEP_MS = 1_000

/** Whether a watch says that the cost is off, after runs that each took so many times what was measured. */
function isOffAfter(watch: CostWatch, times: (run: number) => number, runs: number): boolean {
  let isOff = false
  for (let run = 0; run < runs; run++) isOff = watch.ran(10, 2 * times(run), run * STEP_MS)
  return isOff
}

describe('CostWatch', () => {
  it('takes a cost within half of what was measured for the same, whatever disturbs most runs', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.55, max: 1.45, noNaN: true }),
        fc.infiniteStream(fc.nat(1_000)),
        (times, noise) => {
          const disturbed = (run: number): number =>
            run % 2 === 0 ? times : times * (1 + (noise.next().value ?? 0))
          expect(isOffAfter(new CostWatch(line), disturbed, 700)).toBe(false)
        },
      ),
      { numRuns: 30 },
    )
  })

  it('finds a cost that is off by half for long enough, dearer or cheaper, and not before', () => {
    for (const times of [1.6, 0.4]) {
      const runs = LONG_ENOUGH_MS / STEP_MS
      expect(isOffAfter(new CostWatch(line), () => times, runs)).toBe(false)
      expect(isOffAfter(new CostWatch(line), () => times, 2 * runs)).toBe(true)
    }
  })

  it('begins anew where the cost is as measured in between', () => {
    const times = (run: number): number => (run % 256 < 64 ? 1 : 3)
    expect(isOffAfter(new CostWatch(line), times, 2_000)).toBe(false)
  })

  it('goes by what live runs are known to cost', () => {
    const watch = new CostWatch(line, 3)
    expect(isOffAfter(watch, () => 3, 1_000)).toBe(false)
    expect(watch.ratio).toBeCloseTo(3)
  })
})
