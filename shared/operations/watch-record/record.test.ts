import { describe, expect, it } from 'vitest'
import { carryOn, compareAlerts, firstOfEachKind, type NewAlert } from './alert.ts'
import { EMPTY_RECORD, mayWatch } from './record.ts'

const kept = (holder: string, revision = 7) => ({
  key: 'watch.record',
  revision,
  value: { ...EMPTY_RECORD, holder, everyMs: 10_000 },
})

describe('mayWatch', () => {
  it('lets the first, the one that does, and any after one that stopped', () => {
    expect(mayWatch(undefined, 'me', undefined, 0)).toBe(true)
    expect(mayWatch(kept('me'), 'me', undefined, 0)).toBe(true)
    expect(mayWatch(kept(''), 'me', undefined, 0)).toBe(true)
  })

  it('waits until another was silent for three of its looks, by its own clock', () => {
    expect(mayWatch(kept('other'), 'me', undefined, 1e9)).toBe(false)
    const seen = { revision: 7, atMs: 1_000 }
    expect(mayWatch(kept('other'), 'me', seen, 30_999)).toBe(false)
    expect(mayWatch(kept('other'), 'me', seen, 31_000)).toBe(true)
    expect(mayWatch(kept('other', 8), 'me', seen, 31_000)).toBe(false)
  })
})

describe('alerts', () => {
  const alert = (about: string): NewAlert => ({ kind: 'orphans', about, text: '', remedy: '', count: 1 })

  it('keep their beginning while they last, and tell what is new and what is over', () => {
    const first = carryOn([], [alert('a'), alert('b')], 'then')
    const second = carryOn(first, [alert('b'), alert('c')], 'now')
    expect(second.map(({ about, since }) => [about, since])).toEqual([
      ['b', 'then'],
      ['c', 'now'],
    ])
    const { raised, cleared } = compareAlerts(first, second)
    expect([raised, cleared].map((list) => list.map(({ about }) => about))).toEqual([['c'], ['a']])
  })

  it('are one by one up to 50 of a kind, and then one for the rest', () => {
    const pools = Array.from({ length: 3_000 }, (_pool, index): NewAlert => {
      const shared = { kind: 'unserved-pool', text: '', remedy: '', count: 2 } as const
      return { ...shared, about: `pool-${index}` }
    })
    const { kept, rest } = firstOfEachKind([alert('a'), ...pools, alert('b')])
    expect(kept).toEqual([alert('a'), ...pools.slice(0, 50), alert('b')])
    expect(rest).toEqual([expect.objectContaining({ kind: 'unserved-pool', about: '(more)', count: 5_900 })])
    expect(rest[0]?.text).toBe('and 2,950 more, with 5,900 events')
    expect(firstOfEachKind(pools.slice(0, 50)).rest).toEqual([])
  })
})
