import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SourceQueue } from './source-queue.ts'

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ due: fc.integer({ min: 0, max: 50 }) }) },
  { weight: 1, arbitrary: fc.record({ due: fc.constant(100) }) },
  { weight: 2, arbitrary: fc.constant('shift' as const) },
)

describe('SourceQueue', () => {
  it('gives the earliest deadline first, among equals what came first, and each place its start', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const queue = new SourceQueue<number>('s', { finish: 0, waiting: 0 })
        const waiting: { readonly id: number; readonly due: number }[] = []
        const starts: number[] = []
        for (const [id, each] of steps.entries()) {
          if (each === 'shift') {
            if (waiting.length === 0) continue
            const least = Math.min(...waiting.map(({ due }) => due))
            const next = waiting.findIndex(({ due }) => due === least)
            expect(queue.shift().item).toBe(waiting[next]?.id)
            waiting.splice(next, 1)
            starts.shift()
          } else {
            const before = waiting.filter(({ due }) => due <= each.due).length
            expect(queue.startOf(each.due)).toBe(starts[before])
            queue.add({ item: id, at: id, due: each.due }, id)
            waiting.push({ id, due: each.due })
            starts.push(id)
          }
          const isEmpty = queue.first === undefined
          expect([isEmpty, queue.since(), isEmpty ? undefined : queue.rank]).toEqual([
            waiting.length === 0,
            Math.min(...waiting.map(({ id }) => id)),
            starts[0],
          ])
        }
      }),
      { numRuns: 300 },
    )
  })
})
