import { describe, expect, it } from 'vitest'
import { groupDeadLetters } from './groups.ts'

const time = (text: string): string => new Date(text).toISOString()

const entry = (model: string, description: string, failedAt: string) => ({
  sequence: 1,
  model,
  token: 't',
  sizeBytes: 1,
  storedAt: failedAt,
  headers: new Map([
    ['x-dead-letter-reason', 'shed'],
    ['x-dead-letter-description', description],
    ['x-failed-at', failedAt],
  ]),
})

describe('grouping dead letters', () => {
  it('counts by model, reason and description, with the first and last of each', async () => {
    const entries = [entry('a', 'x', '2026-02'), entry('a', 'x', '2026-01'), entry('a', 'y', '2026-03')]
    expect(await groupDeadLetters([...entries, entry('b', 'x', '2026-04')])).toEqual([
      {
        model: 'a',
        reason: 'shed',
        description: 'x',
        count: 2,
        first: time('2026-01'),
        last: time('2026-02'),
      },
      {
        model: 'a',
        reason: 'shed',
        description: 'y',
        count: 1,
        first: time('2026-03'),
        last: time('2026-03'),
      },
      {
        model: 'b',
        reason: 'shed',
        description: 'x',
        count: 1,
        first: time('2026-04'),
        last: time('2026-04'),
      },
    ])
  })

  it('counts together what differs by numbers only', async () => {
    const late = (ms: number) =>
      entry('a', `passed ${ms} ms ago (ce-expirytime = 2026-11-25T19:16:${ms}.5Z) in version 2`, '2026-01')
    expect(await groupDeadLetters([late(10), late(10)])).toMatchObject([
      { count: 2, description: 'passed 10 ms ago (ce-expirytime = 2026-11-25T19:16:10.5Z) in version 2' },
    ])
    expect(await groupDeadLetters([late(10), late(11), late(10)])).toMatchObject([
      { count: 3, description: 'passed # ms ago (ce-expirytime = #) in version #' },
    ])
  })

  it('counts further descriptions together once there are ten thousand', async () => {
    const words = (index: number): string =>
      String(index).replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? '')
    const entries = Array.from({ length: 10_005 }, (_item, index) => entry('a', words(index), '2026-01'))
    const groups = await groupDeadLetters(entries)
    expect(groups).toHaveLength(10_001)
    expect(groups[0]).toMatchObject({ count: 5, description: '(other descriptions)' })
  })
})
