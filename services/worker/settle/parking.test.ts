import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { lastOfSubject, streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'
import { startTestBroker, type TestBroker } from '../../../test/kit/broker.ts'
import { type DeliveredEvent, deliveryOf } from '../../../test/kit/deliveries.ts'
import type { Delivery } from '../intake/delivery.ts'
import { givenBackMs, Parking, type ParkingDeps, parkedMs, placeOf, type Situation } from './parking.ts'
import { RetryRoom } from './retry-room.ts'

const WHY = { cause: 'refused', text: 'its file is gone' } as const

const situation: Situation = {
  isServedElsewhere: false,
  isCopy: false,
  sizeBytes: 100,
  left: { events: 1, bytes: 100 },
  isGivenUp: false,
}

const NONE = { events: 0, bytes: 0 }

describe('where an event waits', () => {
  it.each<[what: string, given: Partial<Situation>, place: string]>([
    ['the bounds hold it', {}, 'parked'],
    ['another worker serves its model', { isServedElsewhere: true }, 'handed-on'],
    ['another serves it, and it is a copy', { isServedElsewhere: true, isCopy: true }, 'handed-on'],
    ['no more may be parked', { left: { events: 0, bytes: 1_000 } }, 'held-back'],
    ['it does not fit into the bytes', { sizeBytes: 101 }, 'held-back'],
    ['no more may be parked, and what may not is given up', { left: NONE, isGivenUp: true }, 'given-up'],
    ['it may be parked, and what may not is given up', { isGivenUp: true }, 'parked'],
    [
      'it lies there already, and what may not is given up',
      { isCopy: true, left: NONE, isGivenUp: true },
      'parked',
    ],
    ['it lies in the retry lane already', { isCopy: true, left: { events: 0, bytes: 0 } }, 'parked'],
  ])('when %s', (_what, given, place) => {
    expect(placeOf({ ...situation, ...given })).toBe(place)
  })
})

describe('how long it waits', () => {
  it('grows with the time it has waited, up to 30 s, and never comes due together', () => {
    const latest = (waitedMs: number): number => parkedMs(waitedMs, 1, () => 1)
    expect([0, 1_000, 4_000, 60_000, 3_600_000].map(latest)).toEqual([500, 500, 2_000, 30_000, 30_000])
    expect(parkedMs(60_000, 1, () => 0)).toBe(22_500)
  })

  it('is longer where so many are parked that their looks would be a load', () => {
    expect(parkedMs(3_600_000, 50_000, () => 1)).toBe(100_000)
    expect([1_000, 20_000, 200_000].map((parked) => parkedMs(0, parked, () => 1))).toEqual([
      500, 10_000, 100_000,
    ])
  })

  it('doubles each time an event is given back: sooner for one that is handed on', () => {
    expect([0, 1, 2, 9].map((times) => givenBackMs('handed-on', times))).toEqual([100, 200, 400, 5_000])
    expect([0, 1, 2, 9].map((times) => givenBackMs('held-back', times))).toEqual([
      1_000, 2_000, 4_000, 30_000,
    ])
  })
})

describe('a parked event', () => {
  // Nothing comes due while a test looks at it.
  const NOW = Date.now() + 3_600_000
  const EMPTY = { events: 0, bytes: 0, lastSequence: 0, maxBytes: Number.POSITIVE_INFINITY, pools: 1 }
  let broker: TestBroker
  let connection: NatsConnection
  let window: PublishWindow
  let excused: number[]
  let parking: Parking | undefined

  beforeEach(async () => {
    broker = await startTestBroker()
    await broker.provision()
    connection = await broker.connect()
    window = new PublishWindow(connection)
    excused = []
  })
  afterEach(async () => {
    parking?.close()
    window.close()
    await broker.stop()
  })

  function open(given: Partial<ParkingDeps> = {}): Parking {
    parking = new Parking({
      window,
      now: () => NOW,
      room: new RetryRoom({
        inRetries: () => EMPTY,
        lookAgain: () => expect.unreachable('it has no bound'),
        most: { events: 1_000, bytes: 1024 ** 2 },
        workers: () => 1,
        maxMessageBytes: 1024 ** 2,
      }),
      most: { events: 2, bytes: 10_000 },
      isServedElsewhere: () => false,
      look:
        async ({ info }) =>
        async () =>
          void excused.push(info.streamSequence),
      isKept: () => true,
      ...given,
    })
    return parking
  }

  const eventOf = (given: Partial<DeliveredEvent> = {}): Delivery =>
    deliveryOf({ model: 'm', id: 'a', body: '{"inputs":[]}', ...given })

  /** The copies in the retry lane: how many, and the last. */
  async function copies(): Promise<{
    readonly count: number
    readonly header: (name: string) => string | undefined
    readonly body: string
  }> {
    const count = (await streamInfo(connection, STREAMS.retries))?.state.messages ?? 0
    const last = await lastOfSubject(connection, STREAMS.retries, 'retries.default.m.normal.*')
    const headers = parseHeaderBlock(last?.headerBlock ?? new Uint8Array())
    return {
      count,
      header: (name) => readHeader(headers, name),
      body: Buffer.from(last?.body ?? '').toString(),
    }
  }

  it('lies in the retry lane with the same attempt and no history, whatever it was before', async () => {
    const headers = { 'Pelton-Attempt': '2', 'Pelton-History': 'before', 'x-tenant': 'blue' }
    const delivery = eventOf({ headers, deliveryCount: 3 })
    expect(await open().place(delivery, WHY)).toBe('parked')
    const { count, header, body } = await copies()
    expect([count, body]).toEqual([1, '{"inputs":[]}'])
    expect(header(HEADERS.scheduleTarget)).toBe(`due.default.m.normal.${delivery.event.token}`)
    expect(header(HEADERS.attempt)).toBe('2')
    expect(header(HEADERS.history)).toBe('before')
    expect(header('x-tenant')).toBe('blue')
    expect(header(HEADERS.returns)).toBe('2')
    expect(header(HEADERS.parkedSince)).toBe(new Date(NOW).toISOString())
    expect(excused).toEqual([])
  })

  it('takes its own place when it is parked again: the retry lane does not grow', async () => {
    const delivery = eventOf()
    const parked = open()
    await parked.place(delivery, WHY)
    await parked.place(delivery, WHY)
    expect((await copies()).count).toBe(1)
  })

  it('is looked at no later than its deadline', async () => {
    const expiresAt = new Date(NOW + 100).toISOString()
    await open().place(eventOf({ headers: { 'ce-expirytime': expiresAt } }), WHY)
    expect((await copies()).header(HEADERS.schedule)).toBe(`@at ${expiresAt}`)
  })

  it('counts against the bounds by events and by bytes; beyond them events are held back, and excused', async () => {
    const parked = open()
    const places = await Promise.all(['a', 'b', 'c'].map((id) => parked.place(eventOf({ id }), WHY)))
    expect(places).toEqual(['parked', 'parked', 'held-back'])
    expect(excused.length).toBe(1)
    expect(parked.waiting).toEqual([
      { model: 'm', cause: 'refused', place: 'parked', events: 2 },
      { model: 'm', cause: 'refused', place: 'held-back', events: 1 },
    ])
    const large = open({ most: { events: 9, bytes: 50 } })
    const body = JSON.stringify({ inputs: [], fill: 'x'.repeat(40) })
    expect(await large.place(eventOf({ id: 'd', body }), WHY)).toBe('held-back')
    expect((await copies()).count).toBe(2)
  })

  it('comes due when its model is probed next, where that is sooner, as many as a probe runs', async () => {
    const probeAt = NOW + 5_000
    const failing = { cause: 'breaker', text: 'it fails', probeAt } as const
    const parked = open({ most: { events: 20, bytes: 10_000 } })
    const hasWaited = { 'Pelton-Parked-Since': new Date(NOW - 3_600_000).toISOString() }
    const isDueForProbe = async (given: Partial<DeliveredEvent>): Promise<boolean> => {
      const delivery = eventOf(given)
      const copy = { ...delivery, info: { ...delivery.info, stream: STREAMS.retries } }
      expect(await parked.place(given.headers === undefined ? delivery : copy, failing)).toBe('parked')
      return (await copies()).header(HEADERS.schedule) === `@at ${new Date(probeAt + 1_000).toISOString()}`
    }
    expect(await isDueForProbe({ id: 'new' })).toBe(false)
    const dues: boolean[] = []
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f', 'g'])
      dues.push(await isDueForProbe({ id, headers: hasWaited }))
    expect(dues).toEqual([true, true, true, true, true, false, false])
  })

  it('of a model that fails on everything is given up where no more may be parked, if an operator wants it so', async () => {
    const failing = { cause: 'breaker', text: 'it fails', probeAt: NOW } as const
    const parked = open({ most: { events: 1, bytes: 10_000 }, beyond: 'dead-letter' })
    const places: string[] = []
    for (const id of ['a', 'b']) places.push(await parked.place(eventOf({ id }), failing))
    places.push(await parked.place(eventOf({ id: 'c' }), WHY))
    expect(places).toEqual(['parked', 'given-up', 'held-back'])
  })

  it('is not handed on and parked at once: what another worker serves leaves no copy', async () => {
    expect(await open({ isServedElsewhere: () => true }).place(eventOf(), WHY)).toBe('handed-on')
    expect([(await copies()).count, excused.length]).toEqual([0, 1])
  })

  it('is held back where the retry lane cannot take its copy', async () => {
    await connection.request(`$JS.API.STREAM.DELETE.${STREAMS.retries}`)
    expect(await open().place(eventOf(), WHY)).toBe('held-back')
    expect(excused.length).toBe(1)
  })
})
