import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Heap, type Ranked } from './heap.ts'

interface Item extends Ranked {
  readonly id: number
}

const step = fc.oneof(
  fc.record({ add: fc.integer({ min: 0, max: 20 }) }),
  fc.record({ remove: fc.nat() }),
  fc.record({ move: fc.nat(), to: fc.integer({ min: 0, max: 20 }) }),
)

describe('Heap', () => {
  it('has the item of the lowest rank first, whatever was added, moved and taken out', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const heap = new Heap<Item>()
        const inside: Item[] = []
        for (const [id, each] of steps.entries()) {
          if ('add' in each) {
            const item = { id, rank: each.add, place: -1 }
            inside.push(item)
            heap.add(item)
          } else if (inside.length > 0) {
            const at = ('remove' in each ? each.remove : each.move) % inside.length
            const item = inside[at] as Item
            if ('remove' in each) {
              heap.remove(item)
              inside.splice(at, 1)
              expect(heap.has(item)).toBe(false)
            } else {
              item.rank = each.to
              heap.moved(item)
            }
          }
          expect(heap.first?.rank).toBe(
            inside.length === 0 ? undefined : Math.min(...inside.map(({ rank }) => rank)),
          )
          expect(inside.every((item) => heap.has(item))).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })
})
