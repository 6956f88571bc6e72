import { describe, expect, it } from 'vitest'
import { paceBetween } from '../../../shared/operations/broker/drain-pace.ts'
import type { StatusSnapshot } from '../../../shared/operations/broker/snapshot.ts'
import { statusTables } from './report.ts'

function snapshot(at: number, lastSequence: number, backlog: number): StatusSnapshot {
  const stream = { isMissing: false, messages: backlog, bytes: 0, full: 0.5, limit: 'max_msgs' }
  return {
    at,
    backlog,
    retriesScheduled: 3,
    streams: [
      { ...stream, name: 'RESULTS', lastSequence },
      { ...stream, name: 'LEDGER', lastSequence: 0, isMissing: true, full: undefined, limit: undefined },
    ],
    consumers: [],
    deadLetters: { total: 2, byModel: { m: 2 }, isComplete: true },
  }
}

describe('paceBetween', () => {
  it('divides by the time of the broker', () => {
    expect(paceBetween(snapshot(1_000, 10, 0), snapshot(3_000, 110, 200))).toEqual({
      resultsPerSecond: 50,
      backlogSeconds: 4,
    })
  })

  it('knows no backlog seconds while nothing is answered, and none are needed without a backlog', () => {
    expect(paceBetween(snapshot(0, 10, 0), snapshot(1_000, 10, 5)).backlogSeconds).toBeUndefined()
    expect(paceBetween(snapshot(0, 10, 9), snapshot(1_000, 10, 0)).backlogSeconds).toBe(0)
  })

  it('is not below zero when the results were made anew meanwhile', () => {
    expect(paceBetween(snapshot(0, 500, 0), snapshot(1_000, 3, 1)).resultsPerSecond).toBe(0)
  })
})

describe('statusTables', () => {
  it('says what waits, how long, and which stream is missing', () => {
    const later = snapshot(1_000, 50, 100)
    const text = JSON.stringify(statusTables(later, paceBetween(snapshot(0, 0, 0), later)))
    expect(text).toContain('backlog 100 events, 2.0 s · 50 results/s · 3 retries waiting · 2 dead letters')
    expect(text).toContain('50 % of max_msgs')
    expect(text).toContain('missing: run `pelton provision`')
  })
})
