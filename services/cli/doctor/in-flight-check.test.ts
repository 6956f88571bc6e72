import { describe, expect, it } from 'vitest'
import { judgeInFlight } from './in-flight-check.ts'

const pool = (workers: number) => [
  { pool: 'default', workers: Array.from({ length: workers }, (_each, at) => `w${at}`) },
]
const lanes = (high: number, rest = 20_000) =>
  new Map([
    ['worker-default-high', high],
    ['worker-default-normal', rest],
    ['worker-default-low', rest],
  ])

describe('judgeInFlight', () => {
  it('says nothing where each lane lets all living workers hold what they may', () => {
    expect(judgeInFlight(pool(19), lanes(20_000), 1_024)).toEqual([])
    expect(judgeInFlight(pool(500), lanes(-1, -1), 1_024)).toEqual([])
    expect(judgeInFlight([{ pool: 'other', workers: ['w'] }], lanes(1), 1_024)).toEqual([])
  })

  it('names the setting, with a quarter more than is needed', () => {
    expect(judgeInFlight(pool(20), lanes(20_000), 1_024)).toEqual([
      {
        ...{ level: 'warn', check: 'pool "default"' },
        text: 'its 20 workers may hold 20,480 events, and a lane has 20,000 in flight at most: some of them idle under load',
        remedy:
          'Set PELTON_MAX_ACK_PENDING to 26000 or more and run `pelton provision`, then restart the workers.',
      },
    ])
  })

  it('goes by the lane that lets least', () => {
    expect(judgeInFlight(pool(2), lanes(2_000), 1_024)).toHaveLength(1)
  })
})
