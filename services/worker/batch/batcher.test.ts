import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Batcher, type Moment, type OfKind } from './batcher.ts'

/** All of one source and lane, without deadlines. */
interface Item extends OfKind {
  readonly id: number
}

const model = {}
const delivery: Item['delivery'] = {
  event: { source: 's', expiresAt: undefined, route: { lane: 'normal' } },
}

function item(id: number, kind: string, rows = 1): Item {
  return { id, kind, rows, model, delivery }
}

function at(ms: number): Moment {
  return { nowMs: ms, brokerMs: ms }
}

const LINGER = 5
const kinds = { a: 4, b: 16, c: 1 } as const
const kind = fc.constantFrom(...(Object.keys(kinds) as (keyof typeof kinds)[]))
const step = fc.oneof(
  fc.record({ add: kind, rows: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ wait: fc.integer({ min: 0, max: 2 * LINGER }) }),
  fc.constant('take' as const),
)

/** Runs steps against a batcher; collects what came out, the rest flushed at the end. */
function play(steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[]) {
  const batcher = new Batcher<Item>({ lingerMs: LINGER })
  const added: Item[] = []
  const addedAt = new Map<Item, number>()
  const batches: { readonly items: Item[]; readonly at: number; readonly flushed: boolean }[] = []
  let now = 0
  for (const each of steps) {
    if (each === 'take') {
      const items = batcher.take(now)
      if (items !== undefined) batches.push({ items, at: now, flushed: false })
    } else if ('add' in each) {
      const next = item(added.length, each.add, each.rows)
      added.push(next)
      addedAt.set(next, now)
      batcher.add({ maxRows: kinds[each.add] }, next, at(now))
    } else now += each.wait
    const taken = batches.reduce((sum, { items }) => sum + items.length, 0)
    expect(batcher.size).toBe(added.length - taken)
  }
  batcher.flush()
  for (let items = batcher.take(now); items !== undefined; items = batcher.take(now)) {
    batches.push({ items, at: now, flushed: true })
  }
  return { batcher, added, addedAt, batches }
}

describe('Batcher', () => {
  it('loses and doubles nothing, and keeps the order of each kind', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const { batcher, added, batches } = play(steps)
        for (const each of Object.keys(kinds)) {
          const out = batches.flatMap(({ items }) => items).filter((item) => item.kind === each)
          expect(out).toEqual(added.filter((item) => item.kind === each))
        }
        expect(batcher.size).toBe(0)
        expect(batcher.nextDueAt()).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })

  it('never mixes kinds, and never exceeds the rows of a batch but for a single item', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        for (const { items } of play(steps).batches) {
          expect(new Set(items.map((item) => item.kind)).size).toBe(1)
          const rows = items.reduce((sum, item) => sum + item.rows, 0)
          if (items.length > 1) expect(rows).toBeLessThanOrEqual(kinds[items[0]?.kind as keyof typeof kinds])
        }
      }),
      { numRuns: 300 },
    )
  })

  it('gives a batch away early only when it could take no more', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const { added, addedAt, batches } = play(steps)
        const gone = new Set<Item>()
        for (const { items, at, flushed } of batches) {
          const [first] = items as [Item]
          const maxRows = kinds[first.kind as keyof typeof kinds]
          const waiting = added.filter(
            (item) => item.kind === first.kind && !gone.has(item) && (addedAt.get(item) ?? 0) <= at,
          )
          const waitingRows = waiting.reduce((sum, item) => sum + item.rows, 0)
          for (const item of items) gone.add(item)
          if (!flushed && at < (addedAt.get(first) ?? 0) + LINGER) {
            expect(waitingRows).toBeGreaterThanOrEqual(maxRows)
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('closes a batch the linger after its first item', () => {
    const batcher = new Batcher<Item>({ lingerMs: LINGER })
    batcher.add({ maxRows: 4 }, item(1, 'a'), at(100))
    batcher.add({ maxRows: 4 }, item(2, 'a'), at(103))
    expect(batcher.nextDueAt()).toBe(105)
    expect(batcher.take(104.9)).toBeUndefined()
    expect(batcher.take(105)?.map(({ id }) => id)).toEqual([1, 2])
  })

  it('closes a full batch at once, and lets what did not fit wait for its own linger', () => {
    const batcher = new Batcher<Item>({ lingerMs: LINGER })
    batcher.add({ maxRows: 4 }, item(1, 'a', 3), at(100))
    batcher.add({ maxRows: 4 }, item(2, 'a', 3), at(102))
    expect(batcher.nextDueAt()).toBeLessThanOrEqual(102)
    expect(batcher.take(102)?.map(({ id }) => id)).toEqual([1])
    expect(batcher.take(102)).toBeUndefined()
    expect(batcher.nextDueAt()).toBe(107)
  })

  it('runs an item larger than a batch alone', () => {
    const batcher = new Batcher<Item>({ lingerMs: LINGER })
    batcher.add({ maxRows: 4 }, item(1, 'a', 9), at(0))
    batcher.add({ maxRows: 4 }, item(2, 'a'), at(0))
    expect(batcher.take(0)?.map(({ id }) => id)).toEqual([1])
  })

  it('serves the kind that waited longest first', () => {
    const batcher = new Batcher<Item>({ lingerMs: LINGER })
    batcher.add({ maxRows: 4 }, item(1, 'a'), at(0))
    batcher.add({ maxRows: 1 }, item(2, 'b'), at(1))
    expect(batcher.take(10)?.map(({ id }) => id)).toEqual([1])
    expect(batcher.take(10)?.map(({ id }) => id)).toEqual([2])
  })

  it('gives everything away when flushed', () => {
    const batcher = new Batcher<Item>({ lingerMs: LINGER })
    batcher.add({ maxRows: 4 }, item(1, 'a'), at(0))
    expect(batcher.take(0)).toBeUndefined()
    batcher.flush()
    expect(batcher.take(0)).toHaveLength(1)
    batcher.add({ maxRows: 4 }, item(2, 'b'), at(0))
    expect(batcher.nextDueAt()).toBeLessThan(0)
    expect(batcher.take(0)).toHaveLength(1)
    expect(batcher.take(0)).toBeUndefined()
  })

  it('takes what a look at every kind would take, however many wait and whichever may go', () => {
    const each = fc.oneof(
      fc.record({ kind: fc.integer({ min: 0, max: 30 }), rows: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ wait: fc.integer({ min: 0, max: LINGER }) }),
      fc.record({ urgent: fc.boolean(), patient: fc.boolean() }),
    )
    fc.assert(
      fc.property(fc.array(each, { maxLength: 200 }), (steps) => {
        const isUrgent = ({ kind }: Item): boolean => Number(kind) % 3 > 0
        const batcher = new Batcher<Item>({ lingerMs: LINGER, isUrgent })
        const waiting = new Map<string, { readonly item: Item; readonly at: number }[]>()
        let now = 0
        for (const [id, step] of steps.entries()) {
          if ('kind' in step) {
            const next = item(id, String(step.kind), step.rows)
            batcher.add({ maxRows: 8 }, next, at(now))
            waiting.set(next.kind, [...(waiting.get(next.kind) ?? []), { item: next, at: now }])
          } else if ('wait' in step) now += step.wait
          else {
            const isDue = (group: readonly { readonly item: Item; readonly at: number }[]): boolean =>
              (group[0]?.at ?? 0) + LINGER <= now || group.reduce((sum, { item }) => sum + item.rows, 0) >= 8
            const mayGo = ({ item }: { readonly item: Item }): boolean =>
              isUrgent(item) ? step.urgent : step.patient
            const [best] = [...waiting.values()]
              .filter((group) => isDue(group) && group.slice(0, 1).every(mayGo))
              .map(([first]) => first?.item.id ?? 0)
              .sort((one, other) => one - other)
            const taken = batcher.take(now, undefined, step)
            expect(taken?.[0]?.id).toBe(best)
            for (const { id: gone, kind } of taken ?? []) {
              const left = (waiting.get(kind) ?? []).filter(({ item }) => item.id !== gone)
              if (left.length > 0) waiting.set(kind, left)
              else waiting.delete(kind)
            }
          }
        }
        expect(batcher.size).toBe([...waiting.values()].flat().length)
      }),
      { numRuns: 300 },
    )
  })

  it('takes a kind for what it is now, urgent or patient', () => {
    const slow = new Set<string>()
    const batcher = new Batcher<Item>({ lingerMs: LINGER, isUrgent: ({ kind }) => !slow.has(kind) })
    batcher.add({ maxRows: 1 }, item(1, 'a'), at(0))
    batcher.add({ maxRows: 1 }, item(2, 'b'), at(0))
    slow.add('a')
    expect(batcher.take(0, undefined, { urgent: true, patient: false })?.map(({ id }) => id)).toEqual([2])
    expect(batcher.nextDueAt({ urgent: true, patient: false })).toBeUndefined()
    slow.delete('a')
    batcher.reconsider('a', { maxRows: 1 })
    expect(batcher.take(0, undefined, { urgent: true, patient: false })?.map(({ id }) => id)).toEqual([1])
  })

  it('takes a kind for full that may have fewer rows now, and for no more so that may have more', () => {
    const batcher = new Batcher<Item>({ lingerMs: LINGER })
    for (const id of [1, 2, 3]) batcher.add({ maxRows: 64 }, item(id, 'a'), at(0))
    expect(batcher.take(0)).toBeUndefined()
    batcher.reconsider('a', { maxRows: 2 })
    expect(batcher.take(0)?.map(({ id }) => id)).toEqual([1, 2])
    batcher.reconsider('a', { maxRows: 1 })
    batcher.reconsider('a', { maxRows: 64 })
    expect(batcher.take(0)).toBeUndefined()
    expect(batcher.take(LINGER)?.map(({ id }) => id)).toEqual([3])
    batcher.reconsider('a', { maxRows: 2 })
  })
})
