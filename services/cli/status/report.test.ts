import { describe, expect, it } from 'vitest'
import { paceBetween } from '../../../shared/operations/broker/drain-pace.ts'
import type { StatusSnapshot } from '../../../shared/operations/broker/snapshot.ts'
import { pausedLines, statusTables, troubleLines } from './report.ts'

function snapshot(at: number, lastSequence: number, backlog: number): StatusSnapshot {
  const stream = { isMissing: false, isLed: true, messages: backlog, bytes: 0, full: 0.5, limit: 'max_msgs' }
  return {
    at,
    backlog,
    retriesScheduled: 3,
    streams: [
      { ...stream, name: 'RESULTS', lastSequence },
      { ...stream, name: 'LEDGER', lastSequence: 0, isMissing: true, full: undefined, limit: undefined },
    ],
    consumers: [],
    groups: [],
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

  it('names ten models of dead letters and counts the others, made up as they may be', () => {
    const byModel = Object.fromEntries(Array.from({ length: 10_000 }, (_name, index) => [`m${index}`, 2]))
    const now = { ...snapshot(1_000, 50, 0), deadLetters: { total: 20_000, byModel, isComplete: true } }
    const table = statusTables(now, paceBetween(now, now)).at(-1)
    expect(table).toHaveLength(12)
    expect(table?.at(-1)).toEqual(['and 9,990 more', '19,980'])
  })

  it('does not take what nobody leads for empty', () => {
    const [stream, ...rest] = snapshot(0, 0, 0).streams
    const unled = { ...stream, isLed: false, full: undefined } as NonNullable<typeof stream>
    const now = { ...snapshot(0, 0, 0), streams: [unled, ...rest] }
    const [, streams] = statusTables(now, paceBetween(now, now))
    expect(streams?.[1]).toEqual(['RESULTS', 'not known: no leader answers', '', ''])
  })

  it('names ten troubles of servers and counts the others', () => {
    const trouble = (about: string) => ({ kind: 'no-leader', about, text: about, remedy: 'Wait.' }) as const
    expect(troubleLines([trouble('a')])).toEqual(['a', '  Wait.'])
    const many = troubleLines(Array.from({ length: 13 }, (_item, index) => trouble(`c${index}`)))
    expect(many).toHaveLength(21)
    expect(many.at(-1)).toBe('and 3 more; all with --json')
  })

  it('says which consumer is paused, until when, and how to go on', () => {
    const lane = { stream: 'FEATURES', pending: 1, inFlight: 0, redelivered: 0, waitingPulls: 1 }
    const consumers = [
      { ...lane, name: 'worker-default-low' },
      { ...lane, name: 'worker-default-normal', pausedUntil: '2026-01-31T12:00:00Z' },
    ]
    expect(pausedLines({ consumers })).toEqual([
      'worker-default-normal is paused until 2026-01-31T12:00:00Z: its events wait',
      '  Resume it: `nats consumer resume FEATURES worker-default-normal`.',
    ])
  })
})
