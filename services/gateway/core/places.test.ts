import { describe, expect, test } from 'vitest'
import { Places } from './places.ts'
import { Refusal } from './refusal.ts'

function refusalOf(act: () => void): Refusal {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof Refusal) return thrown
  }
  throw new Error('it was not refused')
}

describe('places in flight', () => {
  test('are refused beyond their number, naming the limit, until one is given back', () => {
    const places = new Places({ maxInFlight: 2, maxInFlightBytes: 1_000 })
    places.enter(1)
    places.enter(1)
    const { status, details } = refusalOf(() => places.enter(1))
    expect(status).toBe(503)
    expect(details).toMatchObject({
      code: 'overloaded',
      field: 'maxInFlight',
      value: '2 requests, at most 2 requests',
    })
    places.leave(1, 5)
    places.enter(1)
  })

  test('are refused beyond their bytes, but one alone may be larger', () => {
    const places = new Places({ maxInFlight: 10, maxInFlightBytes: 100 })
    places.enter(500)
    expect(refusalOf(() => places.enter(1)).details).toMatchObject({
      field: 'maxInFlightBytes',
      value: '501 bytes, at most 100 bytes',
    })
    places.leave(500, 5)
    places.enter(60)
    expect(refusalOf(() => places.enter(60)).details.field).toBe('maxInFlightBytes')
    places.enter(40)
  })

  test('say to come back later the longer requests take', () => {
    const places = new Places({ maxInFlight: 1, maxInFlightBytes: 100 })
    for (let count = 0; count < 200; count++) {
      places.enter(1)
      places.leave(1, 7_500)
    }
    places.enter(1)
    const { retryAfterMs = 0 } = refusalOf(() => places.enter(1)).details
    expect(retryAfterMs).toBeGreaterThan(7_000)
    expect(retryAfterMs).toBeLessThanOrEqual(15_000)
  })
})
