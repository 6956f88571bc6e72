import { expect, it } from 'vitest'
import { openGoingClock } from './going-clock.ts'

function clockOf() {
  const given = { monotonic: 5_000, wall: 1_700_000_000_000 }
  const clock = openGoingClock(
    () => given.monotonic,
    () => given.wall,
  )
  const pass = (ms: number): void => {
    given.monotonic += ms
    given.wall += ms
  }
  return { given, pass, now: clock }
}

it('goes on with the monotonic clock', () => {
  const { pass, now } = clockOf()
  const before = now()
  pass(700)
  expect(now() - before).toBe(700)
})

it('counts what the monotonic clock missed while the machine stood still', () => {
  const { given, pass, now } = clockOf()
  const before = now()
  given.wall += 60_000
  expect(now() - before).toBe(60_000)
  pass(700)
  expect(now() - before).toBe(60_700)
})

it('takes a wall clock that is set back for nothing, and what it makes up for then as well', () => {
  const { given, pass, now } = clockOf()
  const before = now()
  given.wall -= 60_000
  expect(now() - before).toBe(0)
  pass(700)
  given.wall += 60_000
  expect(now() - before).toBe(700)
})
