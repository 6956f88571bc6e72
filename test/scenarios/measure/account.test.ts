import { describe, expect, test } from 'vitest'
import { steady } from '../load/schedule.ts'
import { accountOf, FATE, type Load, notClosed, recoveredAfter, timelineOf } from './account.ts'

const load: Load = { phases: [steady('load', 5, 2)], highShare: 0.2, deadlineMs: 250 }
const { prediction, deadLetter, refusal, inDoubt, accepted, lost } = FATE
const run = {
  fates: Uint8Array.of(
    prediction,
    prediction,
    deadLetter,
    refusal,
    prediction,
    inDoubt,
    accepted,
    prediction,
    refusal,
    refusal,
  ),
  latencyMs: Float64Array.of(
    250,
    251,
    Number.NaN,
    Number.NaN,
    10,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
  ),
}

describe('an account', () => {
  test('counts each event once, and in time only what its sender saw in time', () => {
    expect(accountOf(load, run).all).toEqual({
      ...{ offered: 10, inTime: 2, predictions: 4, deadLetters: 1, refusals: 3, inDoubt: 2, lost: 0 },
      ...{ p50Ms: 250, p99Ms: 251 },
    })
    expect(notClosed(accountOf(load, run))).toBeUndefined()
  })

  test('tells the lanes apart', () => {
    const { high, normal } = accountOf(load, run)
    expect(high).toMatchObject({ offered: 2, inTime: 1, refusals: 1 })
    expect(normal).toMatchObject({ offered: 8, inTime: 1, refusals: 2 })
  })

  test('takes a part of the time', () => {
    expect(accountOf(load, run, { fromMs: 1_000, toMs: 2_000 }).all).toMatchObject({ offered: 5, inTime: 0 })
  })

  test('does not close with an event nobody knows of', () => {
    const fates = run.fates.with(3, lost)
    expect(notClosed(accountOf(load, { ...run, fates }))).toBe('10 were sent, and 9 accounted for')
  })

  test('is held against what is stored', () => {
    const account = accountOf(load, run)
    expect(notClosed(account, { predictions: 4, deadLetters: 1 })).toBeUndefined()
    expect(notClosed(account, { predictions: 5, deadLetters: 2 })).toBeUndefined()
    expect(notClosed(account, { predictions: 6, deadLetters: 2 })).toMatch(
      /3 outcomes are stored that nobody sent/,
    )
    expect(notClosed(account, { predictions: 3, deadLetters: 1 })).toMatch(/1 outcomes that are not stored/)
  })
})

describe('a timeline', () => {
  test('has every second', () => {
    expect(timelineOf(load, run).map(({ offered, inTime }) => [offered, inTime])).toEqual([
      [5, 2],
      [5, 0],
    ])
  })

  const second = (inTime: number) => ({ offered: 100, inTime, p99Ms: 1 })
  test('is back to normal from the second on after which all are carried', () => {
    expect(recoveredAfter([100, 0, 0, 50, 100, 50, 99, 100].map(second), 2)).toBe(4)
    expect(recoveredAfter([100, 0, 100].map(second), 2)).toBe(0)
    expect(recoveredAfter([100, 0, 98].map(second), 1)).toBeUndefined()
  })
})
