import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { Batcher, FAR_MS, type Moment, type OfKind } from './batcher.ts'
import type { BatchSize } from './group.ts'

/** In which order a batcher gives what it has: lanes, sources, deadlines. */

interface Item extends OfKind {
  readonly id: number
}

interface Asked {
  readonly kind?: string
  readonly model?: object
  readonly rows?: number
  readonly lane?: Lane
  readonly source?: string
  readonly expiresAt?: number | undefined
}

const MODEL = {}
const ALL_OPEN = { urgent: true, patient: true }
let ids = 0

function item(asked: Asked = {}): Item {
  const { kind = 'a', model = MODEL, rows = 1, lane = 'normal', source = 's', expiresAt } = asked
  return { id: ids++, kind, model, rows, delivery: { event: { source, expiresAt, route: { lane } } } }
}

function at(ms: number): Moment {
  return { nowMs: ms, brokerMs: ms }
}

/** A batcher in which nothing waits for others. */
function open(size: BatchSize = { maxRows: 1 }) {
  const batcher = new Batcher<Item>({ lingerMs: 0 })
  const add = (asked: Asked, ms = 0): Item => {
    const added = item(asked)
    batcher.add(size, added, at(ms))
    return added
  }
  return {
    batcher,
    add,
    addAll: (count: number, asked: Asked, ms = 0) => Array.from({ length: count }, () => add(asked, ms)),
    take: (ms = 0) => batcher.take(ms, ms),
  }
}

const laneOf = ({ delivery }: Item): Lane => delivery.event.route.lane
const sourceOf = ({ delivery }: Item): string => delivery.event.source

function count<Key>(items: readonly Item[], keyOf: (each: Item) => Key, key: Key): number {
  return items.filter((each) => keyOf(each) === key).length
}

const asked = fc.record({
  kind: fc.constantFrom('a', 'b', 'c'),
  rows: fc.integer({ min: 1, max: 6 }),
  lane: fc.constantFrom(...LANES),
  source: fc.constantFrom('s', 't', 'u'),
  expiresAt: fc.option(fc.integer({ min: 0, max: 2 * FAR_MS }), { nil: undefined }),
})

describe('whatever lanes, sources and deadlines there are', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: asked },
    { weight: 1, arbitrary: fc.record({ wait: fc.integer({ min: 0, max: 20 }) }) },
    { weight: 2, arbitrary: fc.record({ urgent: fc.boolean(), patient: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ maxRows: fc.integer({ min: 1, max: 16 }) }) },
    { weight: 1, arbitrary: fc.record({ lingerMs: fc.integer({ min: 0, max: 10 }) }) },
    { weight: 1, arbitrary: fc.constant('remove' as const) },
  )

  it('nothing is lost or doubled, and what is left is counted', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const cost = { fixedMs: 1, perRowMs: 2, handOverMs: 0.1, batchRows: 64 }
        let isUrgent = true
        const batcher = new Batcher<Item>({ lingerMs: 5, isUrgent: ({ kind }) => kind !== 'b' || isUrgent })
        const added: Item[] = []
        const gone: Item[] = []
        let now = 0
        let maxRows = 8
        for (const each of steps) {
          if (each === 'remove') gone.push(...batcher.remove(({ kind }) => kind === 'c'))
          else if ('kind' in each) {
            added.push(item(each))
            batcher.add({ maxRows, cost }, added.at(-1) as Item, at(now))
          } else if ('wait' in each) now += each.wait
          else if ('urgent' in each) gone.push(...(batcher.take(now, now, each) ?? []))
          else if ('lingerMs' in each) batcher.linger('a', each.lingerMs)
          else {
            isUrgent = !isUrgent
            maxRows = each.maxRows
            for (const kind of ['a', 'b']) batcher.reconsider(kind, { maxRows, cost })
          }
          expect(batcher.size).toBe(added.length - gone.length)
        }
        batcher.flush()
        for (let batch = batcher.take(now); batch !== undefined; batch = batcher.take(now))
          gone.push(...batch)
        expect(gone.map(({ id }) => id).sort((one, other) => one - other)).toEqual(added.map(({ id }) => id))
        expect([batcher.size, batcher.nextDueAt(), batcher.rowsBefore(item(), now)]).toEqual([
          0,
          undefined,
          0,
        ])
      }),
      { numRuns: 300 },
    )
  })
})

describe('lanes', () => {
  it('that all wait share a batch 8 : 3 : 1 by their rows', () => {
    const { addAll, take } = open({ maxRows: 240 })
    for (const lane of ['low', 'normal', 'high'] as const) addAll(200, { lane })
    const batch = take() ?? []
    expect(LANES.map((lane) => count(batch, laneOf, lane))).toEqual([160, 60, 20])
  })

  it('that share no batches share the rows of all batches, but for one each', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 600, maxLength: 600 }), (rows) => {
        const { batcher, add, take } = open({ maxRows: 16 })
        for (const each of rows) for (const lane of LANES) add({ lane, kind: lane, rows: each })
        const taken: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
        while (batcher.rowsOf('high') > 0) for (const each of take() ?? []) taken[laneOf(each)] += each.rows
        expect(Math.abs(taken.high / 8 - taken.normal / 3)).toBeLessThanOrEqual(16)
        expect(Math.abs(taken.high / 8 - taken.low)).toBeLessThanOrEqual(17)
      }),
      { numRuns: 30 },
    )
  })

  it('an event of high waits for no batch of another lane, however many events of theirs wait', () => {
    const { add, addAll, take } = open({ maxRows: 8 })
    addAll(500, { lane: 'low', kind: 'low' })
    addAll(500, { lane: 'normal', kind: 'normal' })
    for (let batch = 0; batch < 20; batch++) take()
    const high = add({ lane: 'high', kind: 'high' })
    add({ lane: 'high', kind: 'normal' })
    expect(take()).toEqual([high])
    expect(take()?.map(laneOf)).toContain('high')
  })

  it('lets what lingers go before a batch of a lower lane, and never before one of its own', () => {
    const lingering = (lane: Lane, full: Lane) => {
      const batcher = new Batcher<Item>({ lingerMs: 5 })
      batcher.add({ maxRows: 4 }, item({ lane, kind: 'lingers' }), at(0))
      batcher.add({ maxRows: 1 }, item({ lane: full, kind: 'full' }), at(0))
      return [batcher.take(0), batcher.take(0)].map((batch) => batch?.[0]?.kind)
    }
    expect(lingering('high', 'low')).toEqual(['lingers', 'full'])
    expect(lingering('normal', 'low')).toEqual(['lingers', 'full'])
    expect(lingering('normal', 'normal')).toEqual(['full', undefined])
    expect(lingering('low', 'high')).toEqual(['full', undefined])
  })
})

describe('sources', () => {
  const backlogs = fc.tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 300 }))

  it('of a lane have max-min shares of its rows', () => {
    fc.assert(
      fc.property(backlogs, fc.integer({ min: 1, max: 400 }), ([one, other], rows) => {
        const { addAll, take } = open()
        addAll(one, { source: 's' })
        addAll(other, { source: 't' })
        const taken = Array.from({ length: Math.min(rows, one + other) }, () => take() ?? []).flat()
        const share = Math.max(taken.length / 2, taken.length - Math.min(one, other))
        expect(Math.abs(count(taken, sourceOf, 's') - Math.min(one, share))).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('wait for no backlog of another, in the same batches or in those of another model', () => {
    const { add, addAll, take } = open({ maxRows: 16 })
    const busy = {}
    addAll(500, { source: 'hot' })
    addAll(500, { source: 'hot', kind: 'busy', model: busy })
    for (let batch = 0; batch < 10; batch++) take()
    const few = [add({ source: 'rare' }), add({ source: 'rare', kind: 'new', model: {} })]
    const next = [take() ?? [], take() ?? [], take() ?? []].flat()
    expect(few.filter((each) => next.includes(each))).toEqual(few)
  })

  it('pay for rows, not for events', () => {
    const { addAll, take } = open()
    addAll(50, { source: 'large', rows: 10 })
    addAll(200, { source: 'small' })
    const taken = Array.from({ length: 110 }, () => take() ?? []).flat()
    expect(count(taken, sourceOf, 'large')).toBeGreaterThanOrEqual(9)
    expect(count(taken, sourceOf, 'large')).toBeLessThanOrEqual(11)
  })

  it('gain nothing by having one large event wait at a time', () => {
    const { add, addAll, take } = open()
    addAll(300, { source: 'small' })
    let large = 0
    for (let batch = 0; batch < 200; batch++) {
      if (batch % 2 === 0) add({ source: 'large', rows: 50 })
      large += count(take() ?? [], sourceOf, 'large')
    }
    expect(large).toBeLessThanOrEqual(5)
  })
})

describe('deadlines', () => {
  it('a source has its earliest first, in the order they came where they are equal', () => {
    const due = fc.option(fc.integer({ min: 0, max: 2 * FAR_MS }), { nil: undefined })
    fc.assert(
      fc.property(fc.array(fc.tuple(due, fc.integer({ min: 0, max: 100 })), { maxLength: 100 }), (events) => {
        const { add, take } = open({ maxRows: 7 })
        let now = 0
        const waiting = events.map(([expiresAt, later]) => {
          now += later
          return { item: add({ expiresAt }, now), due: Math.min(expiresAt ?? now + FAR_MS, now + FAR_MS) }
        })
        const ordered = [...waiting].sort((one, other) => one.due - other.due)
        const taken: Item[] = []
        for (let batch = take(now); batch !== undefined; batch = take(now)) taken.push(...batch)
        expect(taken).toEqual(ordered.map((each) => each.item))
      }),
    )
  })

  const cost = { fixedMs: 1, perRowMs: 2, handOverMs: 1, batchRows: 64 }

  it('a batch has no more rows than can be run by the nearest deadline in it, and one at least', () => {
    const { addAll, take } = open({ maxRows: 32, cost })
    addAll(100, { expiresAt: 1_000 })
    // A run takes 2 ms, and 2 for each row: at 3 ms not even one is in time, and nothing is gained by fewer.
    const rows = [1_000, 50, 42, 12, 4, 3].map((ms) => take(1_000 - ms)?.length)
    expect(rows).toEqual([32, 24, 20, 5, 1, 18])
  })

  it('an event that a full batch would make late is the first of the next one', () => {
    const { add, addAll, take } = open({ maxRows: 32, cost })
    addAll(20, { source: 'patient' })
    const near = add({ source: 'near', expiresAt: 12 })
    add({ source: 'near', expiresAt: 100 })
    const [first = [], second = []] = [take(), take()]
    expect(first).toContain(near)
    expect(first.length).toBeLessThanOrEqual(5)
    expect(first.length + second.length).toBe(22)
  })
})

describe('nobody waits forever', () => {
  it('behind sources that are always new', () => {
    const { addAll, batcher, take } = open()
    const old = addAll(3, { source: 'old' })
    let sources = 0
    let rows = 0
    for (; rows < 10_000 && old.length > 0; rows++) {
      addAll(batcher.size < 50 ? 2 : 1, { source: `new-${sources++}` })
      if (take()?.[0] === old[0]) old.shift()
    }
    expect(old).toEqual([])
  })

  it('behind nearer deadlines of its own source', () => {
    const { add, addAll, take } = open()
    const old = add({})
    addAll(20, { expiresAt: 0 })
    let now = 0
    for (; now < 2 * FAR_MS; now += 100) {
      add({ expiresAt: now + 250 }, now)
      if (take(now)?.[0] === old) break
    }
    expect(now).toBeLessThanOrEqual(FAR_MS + 20 * 100)
  })

  it('behind higher lanes', () => {
    const { add, addAll, take } = open({ maxRows: 16 })
    const old = add({ lane: 'low', kind: 'low' })
    addAll(100, { lane: 'high' })
    let batches = 1
    for (; batches < 100 && take()?.[0] !== old; batches++) addAll(16, { lane: 'high' })
    expect(batches).toBeLessThanOrEqual(3)
  })
})

describe('how many rows go before an item', () => {
  it('is what waits of its model in its lane and above, where there is one source', () => {
    const { add, addAll, batcher } = open({ maxRows: 16 })
    addAll(100, { lane: 'high', rows: 2 })
    addAll(40, { lane: 'normal' })
    addAll(10, { lane: 'low', kind: 'low' })
    add({ lane: 'high', model: {}, kind: 'other' })
    const ahead = (lane: Lane, kind = 'a'): number => batcher.rowsBefore(item({ lane, kind }), 0)
    expect([ahead('high'), ahead('normal'), ahead('low', 'low'), ahead('low', 'none yet')]).toEqual([
      ...[200, 240, 250, 250],
    ])
    expect(batcher.rowsBefore(item({ model: {} }), 0)).toBe(0)
  })

  it('is nothing of another source`s backlog for a source that has nothing there, and little for one that has little', () => {
    const { addAll, batcher } = open()
    addAll(500, { source: 'hot' })
    const ahead = (): number => batcher.rowsBefore(item({ source: 'rare' }), 0)
    expect(ahead()).toBe(0)
    addAll(5, { source: 'rare' })
    expect(ahead()).toBeLessThanOrEqual(10)
  })

  it('leaves out what its deadline is nearer than', () => {
    const { addAll, batcher } = open()
    addAll(100, { expiresAt: 5_000 })
    addAll(100, {})
    const ahead = (expiresAt?: number): number => batcher.rowsBefore(item({ expiresAt }), 0)
    expect([ahead(1_000), ahead(6_000), ahead()]).toEqual([0, 100, 200])
  })

  it('is no less than go before it, but for one of each source', () => {
    const step = fc.oneof(fc.record({ source: fc.constantFrom('s', 't', 'u') }), fc.constant('take' as const))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.constantFrom('s', 't', 'v'), (steps, source) => {
        const { add, batcher, take } = open({ maxRows: 3 })
        for (const each of steps) each === 'take' ? take() : add(each)
        const before = batcher.rowsBefore(item({ source }), 0)
        const last = add({ source })
        const taken: Item[] = []
        while (!taken.includes(last)) taken.push(...(batcher.take(0, 0, ALL_OPEN) ?? []))
        expect(taken.indexOf(last)).toBeLessThanOrEqual(before + 4)
      }),
      { numRuns: 300 },
    )
  })
})
