import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Backlog, backlogSeconds, deliveryRate } from './backlog.ts'
import type { Delivery } from './delivery.ts'

describe('backlogSeconds', () => {
  it('is waiting rows ÷ drain rate', () => expect(backlogSeconds(1_200, 400)).toBe(3))

  it('is 0 without a backlog, whatever the rate', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (rate) => {
        expect(backlogSeconds(0, rate)).toBe(0)
      }),
    )
  })

  it('is a day at most, and where nothing drains', () => {
    expect(backlogSeconds(1, 0)).toBe(86_400)
    expect(backlogSeconds(1e9, 1)).toBe(86_400)
  })
})

describe('deliveryRate', () => {
  it('counts deliveries to all workers, up to now', () => {
    const sights = [
      { at: 0, delivered: 100 },
      { at: 1_000, delivered: 700 },
    ]
    expect(deliveryRate(sights, 1_000, 10_000)).toBe(600)
    expect(deliveryRate(sights, 3_000, 10_000)).toBe(200)
  })

  it('forgets what is older than the window', () => {
    const sights = [
      { at: 0, delivered: 0 },
      { at: 9_000, delivered: 1_000 },
      { at: 10_000, delivered: 1_100 },
    ]
    expect(deliveryRate(sights, 11_000, 2_000)).toBe(50)
    expect(deliveryRate(sights, 60_000, 2_000)).toBe(0)
  })
})

describe('Backlog', () => {
  it('joins the consumers of a lane, and counts rows like those that ran', () => {
    const backlog = new Backlog()
    backlog.ran(99, 399)
    for (const [at, delivered] of [
      [0, 10],
      [1_000, 110],
      [2_000, 210],
    ] as const) {
      backlog.seen('high', 'features', 500 - at / 10, delivered, at)
      backlog.seen('high', 'due', 50, 1, at)
    }
    expect(backlog.read(2_000)).toEqual([{ lane: 'high', rows: 350 * 4, seconds: 3.5 }])
  })

  it('knows what waits in each lane', () => {
    const backlog = new Backlog()
    backlog.seen('high', 'features', 500, 1, 0)
    backlog.seen('high', 'due', 50, 1, 0)
    backlog.seen('low', 'features', 7, 1, 0)
    expect(['high', 'normal', 'low'].map((lane) => backlog.waitingIn(lane))).toEqual([550, 0, 7])
    expect(backlog.waiting).toBe(557)
  })

  it('sees of deliveries that came together the last of each consumer', () => {
    const delivery = (lane: string, consumer: string, consumerSequence: number, pending: number): Delivery =>
      ({ event: { route: { lane } }, info: { consumer, consumerSequence, pending } }) as unknown as Delivery
    const backlog = new Backlog()
    backlog.received([delivery('high', 'features', 10, 90)], 0)
    backlog.received(
      [
        delivery('high', 'features', 11, 89),
        delivery('high', 'features', 60, 40),
        delivery('low', 'due', 1, 7),
      ],
      1_000,
    )
    expect(backlog.read(1_000)).toEqual([
      { lane: 'high', rows: 40, seconds: 40 / 50 },
      { lane: 'low', rows: 7, seconds: 86_400 },
    ])
  })

  it('is empty once a pull found nothing', () => {
    const backlog = new Backlog()
    backlog.seen('low', 'features', 70, 1, 0)
    expect(backlog.read(0)).toEqual([{ lane: 'low', rows: 70, seconds: 86_400 }])
    backlog.empty('low', 'features')
    expect(backlog.read(0)).toEqual([{ lane: 'low', rows: 0, seconds: 0 }])
  })
})
