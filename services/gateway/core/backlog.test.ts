import { describe, expect, test } from 'vitest'
import { secondsAhead } from './backlog.ts'

describe('seconds ahead in a lane', () => {
  test('are what waits by what was handed out between the looks', () => {
    const looks = [
      { at: 1_000, waiting: 900, delivered: 100 },
      { at: 3_000, waiting: 500, delivered: 300 },
    ]
    expect(secondsAhead(looks)).toBe(5)
  })

  test('are none where nothing waits, whatever the pace', () => {
    expect(secondsAhead([{ at: 0, waiting: 0, delivered: 7 }])).toBe(0)
  })

  test('are not known before the second look, and where nothing is handed out', () => {
    expect(secondsAhead([])).toBeUndefined()
    expect(secondsAhead([{ at: 0, waiting: 5, delivered: 7 }])).toBeUndefined()
    const still = [0, 2_000, 4_000].map((at) => ({ at, waiting: 5, delivered: 7 }))
    expect(secondsAhead(still)).toBeUndefined()
  })

  test('forget what is long ago, and are a day at most', () => {
    const looks = [
      { at: 0, waiting: 1_000, delivered: 0 },
      { at: 20_000, waiting: 1_000, delivered: 1_000_000 },
      { at: 22_000, waiting: 1_000, delivered: 1_000_200 },
    ]
    expect(secondsAhead(looks)).toBe(10)
    const slow = [
      { at: 0, waiting: 1e9, delivered: 0 },
      { at: 2_000, waiting: 1e9, delivered: 1 },
    ]
    expect(secondsAhead(slow)).toBe(86_400)
  })
})
