import { describe, expect, test } from 'vitest'
import { filled, Quotas, readQuotas } from './quotas.ts'
import type { Caller } from './request.ts'

const caller = (id: string, quotaClass: string | undefined): Caller => ({
  ...{ keyId: id, source: `key/${id}`, pool: 'default', highestLane: 'high', quotaClass },
  mayUse: () => true,
})
const quotas = (told: string[] = []): Quotas =>
  new Quotas(new Map([['free', { perSecond: 5, burst: 10 }]]), (name) => void told.push(name))

/** How many of so many requests are taken at one moment. */
function takeMost(of: Quotas, who: Caller, requests: number, nowMs: number): number {
  let taken = 0
  for (let each = 0; each < requests; each++) {
    if (of.look(who, nowMs) !== undefined) continue
    of.take(who, nowMs)
    taken++
  }
  return taken
}

describe('a bucket', () => {
  const quota = { perSecond: 5, burst: 10 }

  test('fills at its pace and no further than its burst', () => {
    expect(filled({ tokens: 0, atMs: 0 }, quota, 1_000)).toEqual({ tokens: 5, atMs: 1_000 })
    expect(filled({ tokens: 8, atMs: 0 }, quota, 1_000)).toEqual({ tokens: 10, atMs: 1_000 })
  })

  test('does not empty when its clock stands', () => {
    expect(filled({ tokens: 3, atMs: 500 }, quota, 100)).toEqual({ tokens: 3, atMs: 500 })
  })
})

describe('quotas of keys', () => {
  test('let a burst in, then what the rate is, and say when to come back', () => {
    const of = quotas()
    const who = caller('a', 'free')
    expect(takeMost(of, who, 100, 0)).toBe(10)
    expect(of.look(who, 0)).toMatchObject({
      ...{ limit: 'quota', value: 10, measured: 11, retryAfterMs: 200, isOfSource: true },
      because: expect.stringContaining('class free has 5 requests a second, 10 at once'),
    })
    expect(of.look(who, 200)).toBeUndefined()
    expect(takeMost(of, who, 100, 1_000)).toBe(5)
    expect(takeMost(of, who, 100, 60_000)).toBe(10)
  })

  test('are of each key by itself, and a look takes nothing', () => {
    const of = quotas()
    expect(takeMost(of, caller('a', 'free'), 100, 0)).toBe(10)
    for (let each = 0; each < 100; each++) expect(of.look(caller('b', 'free'), 0)).toBeUndefined()
    expect(takeMost(of, caller('b', 'free'), 100, 0)).toBe(10)
  })

  test('are none for a key without a class, and for one of a class that nobody set, which is said once', () => {
    const told: string[] = []
    const of = quotas(told)
    expect(takeMost(of, caller('a', undefined), 1_000, 0)).toBe(1_000)
    expect(takeMost(of, caller('b', 'gold'), 1_000, 0)).toBe(1_000)
    expect(told).toEqual(['gold'])
  })
})

test('classes are read with their rate and their burst', () => {
  expect([...(readQuotas('gold=200/400, free=0.5/10') ?? [])]).toEqual([
    ['gold', { perSecond: 200, burst: 400 }],
    ['free', { perSecond: 0.5, burst: 10 }],
  ])
})

test.each([
  '',
  'gold',
  'gold=',
  'gold=1',
  'gold=0/1',
  'gold=1/0',
  'gold=1/1.5',
  'a b=1/1',
  'a=1/1,a=2/2',
  'a=1/1,',
])('what is no quota is not read: %j', (text) => expect(readQuotas(text)).toBeUndefined())
