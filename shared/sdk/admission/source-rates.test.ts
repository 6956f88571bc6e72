import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom } from '../../../test/kit/random.ts'
import { SourceRates } from './source-rates.ts'

/** A source that sends rows evenly, up to a moment. */
function send(rates: SourceRates, source: string, perSecond: number, untilMs: number): void {
  for (let at = 0; at <= untilMs; at += 1_000 / perSecond) rates.came(source, 1, at)
}

/** Several sources as one would see them: in order of time. */
function sendAll(rates: SourceRates, perSecond: Readonly<Record<string, number>>, untilMs: number): void {
  const all = Object.entries(perSecond).flatMap(([source, rate]) =>
    Array.from({ length: Math.floor((rate * untilMs) / 1_000) }, (_, at) => ({
      source,
      at: (1_000 * at) / rate,
    })),
  )
  for (const { source, at } of all.sort((one, other) => one.at - other.at)) rates.came(source, 1, at)
}

describe('rates', () => {
  it('are what came a second, whenever one looks', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 2_000 }),
        fc.integer({ min: 1_000, max: 5_000 }),
        (rate, untilMs) => {
          const rates = new SourceRates()
          send(rates, 's', rate, untilMs)
          const measured = rates.rates(untilMs).get('s') ?? 0
          expect(measured).toBeGreaterThan(0.9 * rate - 5)
          expect(measured).toBeLessThan(1.1 * rate + 5)
        },
      ),
      { numRuns: 50 },
    )
  })

  it('of a source that just began are about right after a moment', () => {
    const rates = new SourceRates()
    send(rates, 's', 1_000, 100)
    expect(rates.rates(100).get('s')).toBeGreaterThan(800)
    expect(rates.rates(100).get('s')).toBeLessThan(1_200)
  })

  it('are forgotten after a second of silence', () => {
    const rates = new SourceRates()
    send(rates, 's', 1_000, 2_000)
    expect(rates.rates(4_000)).toEqual(new Map())
  })

  it('count rows, not events', () => {
    const rates = new SourceRates()
    for (let at = 0; at < 1_000; at += 10) rates.came('s', 8, at)
    expect(rates.rates(1_000).get('s')).toBeCloseTo(800, -1)
  })

  it('tell no more than 1,024 sources apart, and count the others as one', () => {
    const rates = new SourceRates()
    for (let source = 0; source < 3_000; source++) rates.came(`s${source}`, 1, 0)
    expect(rates.rates(0).size).toBe(1_025)
    expect(rates.countedAs('s0')).toBe('s0')
    expect(rates.countedAs('s2999')).toBe(rates.countedAs('s2998'))
  })
})

describe('heavy', () => {
  it('are sources above their share while more is asked for than there is', () => {
    const rates = new SourceRates()
    sendAll(rates, { hot: 900, warm: 200, cold: 50 }, 2_000)
    expect(rates.named(500, 2_000).heavy).toEqual(['hot'])
    expect(rates.named(2_000, 2_000).heavy).toEqual([])
  })

  it('is the one that has most of what is carried, although no more comes than that', () => {
    const rates = new SourceRates()
    sendAll(rates, { hot: 400, other: 100 }, 2_000)
    expect(rates.named(500, 2_000).heavy).toEqual(['hot'])
  })

  it('is nobody where all have too much, or there is one alone: nobody is to be spared', () => {
    const rates = new SourceRates()
    send(rates, 'one', 900, 2_000)
    expect(rates.named(100, 2_000).heavy).toEqual([])
    rates.came('other', 2_000, 2_000)
    expect(rates.named(100, 2_000).heavy).toEqual([])
  })

  it('is nobody where sources ask for nearly the same, whatever chance gives them', () => {
    const rates = new SourceRates()
    sendAll(rates, { a: 190, b: 210, c: 180, d: 220 }, 2_000)
    expect(rates.named(700, 2_000).heavy).toEqual([])
    const beside = new SourceRates()
    sendAll(beside, { a: 190, b: 210, c: 180, d: 220, e: 20 }, 2_000)
    expect(beside.named(700, 2_000).heavy).toEqual(['a', 'b', 'c', 'd'])
  })

  // Events, and rows that come at once: those of several, or of one that stands for those of a group.
  it.each([1, 4, 16])(
    'is hardly anybody where chance makes some look like more than others, %i rows at once',
    (rowsAtOnce) => {
      const random = createRandom(18)
      const rates = new SourceRates()
      const perMs = 0.01 / rowsAtOnce
      let looks = 0
      let named = 0
      for (let at = 0; at < 120_000; at++) {
        for (const source of 'abcdefghij') if (random() < perMs) rates.came(source, rowsAtOnce, at)
        if (at % 100 !== 0) continue
        looks++
        // Ten sources that send ten rows a second each, of eighty that are carried.
        if (rates.named(80, at).heavy.length > 0) named++
      }
      expect(named / looks).toBeLessThan(0.1)
    },
  )

  it('never has a source with no more than an equal part', () => {
    const some = fc.dictionary(fc.string({ minLength: 1 }), fc.integer({ min: 1, max: 1_000 }), {
      minKeys: 1,
    })
    fc.assert(
      fc.property(some, fc.integer({ min: 1, max: 5_000 }), (asked, capacity) => {
        const rates = new SourceRates()
        for (const [source, rows] of Object.entries(asked)) rates.came(source, rows, 0)
        const perSecond = rates.rates(0)
        for (const source of rates.named(capacity, 0).heavy)
          expect(perSecond.get(source)).toBeGreaterThan((0.9 * capacity) / perSecond.size)
      }),
    )
  })

  it('names the one among them that has more than half of all', () => {
    const named = (perSecond: Readonly<Record<string, number>>) => {
      const rates = new SourceRates()
      sendAll(rates, perSecond, 2_000)
      return rates.named(500, 2_000)
    }
    expect(named({ a: 400, b: 100 })).toEqual({ heavy: ['a'], hot: 'a' })
    expect(named({ a: 220, b: 220, c: 40 })).toEqual({ heavy: ['a', 'b'], hot: null })
    expect(named({ a: 200, b: 100 })).toEqual({ heavy: [], hot: null })
  })
})
