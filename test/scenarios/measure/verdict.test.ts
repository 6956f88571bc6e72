import { describe, expect, test } from 'vitest'
import { voidReasons } from './verdict.ts'

const sound = {
  punctuality: { lateMs: { p50: 0.5, p99: 2, max: 30 }, clockMovedMs: 0 },
  notClosed: undefined,
  others: 0.02,
}

describe('a run', () => {
  test('counts where nothing speaks against it', () => {
    expect(voidReasons({ ...sound, atCapacity: { goodput: 95, capacity: 100 } })).toEqual([])
  })

  test('is void where the generator was late', () => {
    const punctuality = { lateMs: { p50: 1, p99: 5.1, max: 9 }, clockMovedMs: 0 }
    expect(voidReasons({ ...sound, punctuality })).toEqual([
      'the generator was late: p99 5.1 ms, more than 5',
    ])
  })

  test('is void where its account does not close', () => {
    expect(voidReasons({ ...sound, notClosed: 'one is missing' })).toEqual([
      'the account does not close: one is missing',
    ])
  })

  test('is void where others had too much of the machine', () => {
    expect(voidReasons({ ...sound, others: 0.25 })).toEqual([
      'others had 25.0 % of the machine, more than 10.0 %',
    ])
  })

  test('is void where a contestant does not reach its own capacity', () => {
    expect(voidReasons({ ...sound, atCapacity: { goodput: 94, capacity: 100 } })).toEqual([
      'at its capacity it reached 94.0 % of it, less than 95.0 %',
    ])
  })
})
