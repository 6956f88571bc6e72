import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { eventually } from '../../test/kit/wait.ts'
import { LargeGarbage } from './large-garbage.ts'

it('collects once for every two megabytes that have passed, in a turn of its own', async () => {
  let collected = 0
  const garbage = new LargeGarbage(() => void collected++)
  garbage.passed(1_000_000)
  await nextTurn()
  expect(collected).toBe(0)
  garbage.passed(1_500_000)
  expect(collected).toBe(0)
  await nextTurn()
  expect(collected).toBe(1)
  for (let count = 0; count < 4; count++) garbage.passed(1_048_576)
  await nextTurn()
  expect(collected).toBe(3)
})

it('collects young objects by the runtime’s own collector', async () => {
  const kinds = new Set<number>()
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      if ('detail' in entry) kinds.add((entry.detail as { readonly kind: number }).kind)
  })
  observer.observe({ entryTypes: ['gc'] })
  const garbage = new LargeGarbage()
  garbage.passed(4_000_000)
  await eventually('a young collection', () => kinds.has(constants.NODE_PERFORMANCE_GC_MINOR) || undefined)
  observer.disconnect()
})
