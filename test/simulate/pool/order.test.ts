import { expect, it } from 'vitest'
import type { SimEvent } from '../load/event.ts'
import { LanesOrder } from './order.ts'

const eventOf = (endsAtMs: number): SimEvent => ({
  ...{ lane: 'normal', source: 's', sentAtMs: 0, endsAtMs, attempt: 1, isAnswered: false },
})

it('lanes take turns by 8 : 3 : 1, across pulls too', () => {
  const order = new LanesOrder()
  const waiting = { high: 1_000, normal: 1_000, low: 1_000 }
  const pulled = { high: 0, normal: 0, low: 0 }
  for (let pull = 0; pull < 240; pull++) {
    const { high, normal, low } = order.pull(5, waiting)
    expect(high + normal + low).toBe(5)
    pulled.high += high
    pulled.normal += normal
    pulled.low += low
  }
  expect(pulled).toEqual({ high: 800, normal: 300, low: 100 })
})

it('what one lane does not need is the others`', () => {
  expect(new LanesOrder().pull(20, { high: 2, normal: 0, low: 100 })).toEqual({ high: 2, normal: 0, low: 18 })
  expect(new LanesOrder().pull(20, { high: 1, normal: 1, low: 1 })).toEqual({ high: 1, normal: 1, low: 1 })
})

it('the earliest deadline runs first, and what has expired does not run', () => {
  const [late, soon, later, last] = [eventOf(50), eventOf(150), eventOf(160), eventOf(170)]
  const choosing = { nowMs: 100, mostRows: 2 }
  expect(new LanesOrder().choose([last, later, late, soon], choosing)).toEqual({
    end: [{ event: late, ending: 'deadline-exceeded' }],
    run: [soon, later],
    rest: [last],
  })
  expect(new LanesOrder().choose([late], choosing)).toMatchObject({ run: [], rest: [] })
})
