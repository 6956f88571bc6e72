import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { offsetMinutes } from './airport-clocks.ts'
import {
  arrivalMinute,
  byDeparture,
  describeFlights,
  type Flight,
  type FlightEvent,
  loadFlights,
} from './flights.ts'

const AIRPORTS = ['DFW', 'JFK', 'LAX', 'ORD']

function flight(row: number, changes: Partial<Flight> = {}): Flight {
  return {
    row,
    departureMinute: 0,
    hour: 12,
    weekday: 3,
    delayMinutes: 0,
    distanceMiles: 300,
    origin: 'JFK',
    destination: 'ORD',
    ...changes,
  }
}

/** A busy morning between four airports, in order of departure. */
const mornings = fc
  .array(
    fc.record({
      departureMinute: fc.integer({ min: 0, max: 300 }),
      delayMinutes: fc.integer({ min: -1200, max: 200 }),
      distanceMiles: fc.integer({ min: 20, max: 2000 }),
      origin: fc.constantFrom(...AIRPORTS),
      destination: fc.constantFrom(...AIRPORTS),
    }),
    { minLength: 2, maxLength: 80 },
  )
  .map((items) => items.map((item, row) => flight(row, item)).sort(byDeparture))

describe('describeFlights', () => {
  it('shows a delay to no flight that leaves before the delayed one has arrived', () => {
    fc.assert(
      fc.property(mornings, fc.nat(), fc.integer({ min: -1200, max: 900 }), (flights, pick, delayMinutes) => {
        const chosen = flights[pick % flights.length] as Flight
        const changed = { ...chosen, delayMinutes }
        const known = Math.min(arrivalMinute(chosen), arrivalMinute(changed))
        const unknowing = flights.filter(({ departureMinute }) => departureMinute < known).length
        const before = describeFlights(flights)
        const after = describeFlights(flights.map((other) => (other === chosen ? changed : other)))
        const features = (events: FlightEvent[]) => events.slice(0, unknowing).map((event) => event.features)
        expect(features(after)).toEqual(features(before))
      }),
    )
  })

  it('does not look at flights that leave later', () => {
    fc.assert(
      fc.property(mornings, fc.nat(), (flights, pick) => {
        const until = pick % flights.length
        expect(describeFlights(flights.slice(0, until))).toEqual(describeFlights(flights).slice(0, until))
      }),
    )
  })

  it('shows a delay from the minute of arrival on, at its origin, its destination and on its route', () => {
    const late = flight(0, { delayMinutes: 100 })
    expect(arrivalMinute(late)).toBe(35 + 40 + 100)
    const others = [174, 175].flatMap((departureMinute) => [
      flight(departureMinute * 10, { departureMinute }),
      flight(departureMinute * 10 + 1, { departureMinute, origin: 'ORD', destination: 'LAX' }),
    ])
    const [, unaware, , aware, next] = describeFlights([late, ...others]).map((event) => event.features)
    expect(unaware).toMatchObject({ origin_delay: 5, inbound_delay: 5, destination_delay: 5, route_delay: 5 })
    // The network's mean is (100 + 3 × 5) / 4 = 28.75; an airport's (100 + 3 × 28.75) / 4.
    expect(aware).toMatchObject({ origin_delay: 46.6, inbound_delay: 28.8, destination_delay: 46.6 })
    expect(aware?.route_delay).toBe(59.9)
    expect(next).toMatchObject({ origin_delay: 28.8, inbound_delay: 46.6, destination_delay: 28.8 })
  })

  it('lets no flight arrive before its distance allows, however early it claims to be', () => {
    expect(arrivalMinute(flight(0, { delayMinutes: -1116 }))).toBe(75)
  })

  it('calls a flight late from the sixteenth minute on', () => {
    const events = describeFlights([flight(0, { delayMinutes: 15 }), flight(1, { delayMinutes: 16 })])
    expect(events.map(({ late }) => late)).toEqual([false, true])
  })

  it('counts the departures before a flight, in the order of rows within a minute', () => {
    const events = describeFlights([0, 1, 2].map((row) => flight(row)))
    expect(events.map(({ features }) => features.origin_departures)).toEqual([0, 1, 2])
  })

  it('gives no events for no flights', () => {
    expect(describeFlights([])).toEqual([])
  })
})

describe('loadFlights', () => {
  let events: FlightEvent[]

  beforeAll(async () => {
    events = await loadFlights()
  })

  it('gives the last 20,000 flights, each once, in order of departure', () => {
    expect(events).toHaveLength(20_000)
    expect(new Set(events.map(({ id }) => id)).size).toBe(20_000)
    const departures = events.map(({ departedAt }) => departedAt.getTime())
    expect(departures).toEqual([...departures].sort((a, b) => a - b))
    expect(
      events.every(({ departedAt, arrivedAt }) => arrivedAt.getTime() - departedAt.getTime() >= 35 * 60_000),
    ).toBe(true)
  })

  it('has a third of them late: two bad days', () => {
    expect(events.filter(({ late }) => late).length / events.length).toBeCloseTo(0.322, 3)
  })

  it('keeps every feature in its range', () => {
    for (const { features } of events) {
      expect(features.origin).toMatch(/^[A-Z]{3}$/)
      expect(features.destination).toMatch(/^[A-Z]{3}$/)
      expect(Number.isInteger(features.hour) && features.hour >= 0 && features.hour <= 23).toBe(true)
      expect(Number.isInteger(features.weekday) && features.weekday >= 0 && features.weekday <= 6).toBe(true)
      expect(Number.isInteger(features.distance) && features.distance > 0 && features.distance < 6000).toBe(
        true,
      )
      const { origin_delay, inbound_delay, destination_delay, route_delay, origin_departures } = features
      for (const delay of [origin_delay, inbound_delay, destination_delay, route_delay]) {
        expect(delay >= -20 && delay <= 180).toBe(true)
      }
      expect(origin_departures >= 0 && origin_departures < 200).toBe(true)
    }
  })

  it('tells the hour at the origin, and the moment on one clock', () => {
    for (const { departedAt, features } of events) {
      const local = new Date(departedAt.getTime() + offsetMinutes(features.origin) * 60_000)
      expect([local.getUTCHours(), local.getUTCDay()]).toEqual([features.hour, features.weekday])
    }
    expect(
      ['SJU', 'ATL', 'IND', 'ORD', 'DEN', 'PHX', 'LAX', 'ANC', 'HNL'].map((code) => offsetMinutes(code) / 60),
    ).toEqual([-4, -4, -5, -5, -6, -7, -7, -8, -10])
  })

  it('gives the same features with more history', async () => {
    const longer = await loadFlights({ count: 500, historyDays: 6 })
    const pairs = longer.map((event, index) => [event, events[20_000 - 500 + index]] as const)
    for (const [one, other] of pairs) {
      expect(other).toMatchObject({ id: one.id, departedAt: one.departedAt, late: one.late })
      for (const name of ['origin_delay', 'inbound_delay', 'destination_delay', 'route_delay'] as const) {
        // Rounding may fall either way.
        expect(Math.abs(one.features[name] - (other?.features[name] ?? Number.NaN))).toBeLessThan(0.11)
      }
    }
  })

  it('refuses counts it cannot serve', async () => {
    await expect(loadFlights({ count: 0 })).rejects.toThrow(/invalid-argument.*count = 0/)
    await expect(loadFlights({ historyDays: 1.5 })).rejects.toThrow(/invalid-argument.*historyDays = 1.5/)
  })
})
