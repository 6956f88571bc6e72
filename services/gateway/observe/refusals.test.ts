import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { watchRefusals } from './refusals.ts'

const refused = { pool: 'default', model: 'churn', lane: 'low', limit: 'backlog', isEnforced: true } as const

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function open() {
  const lines: Readonly<Record<string, unknown>>[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const refusals = watchRefusals({ log, hasMetrics: false })
  return { lines, refusals }
}

describe('refusals are said in the log', () => {
  test('once a minute at most, with their number and what most of them were', () => {
    const { lines, refusals } = open()
    for (let each = 0; each < 100; each++)
      refusals.told(each % 3 === 0 ? { ...refused, limit: 'quota' } : refused)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({ refused: 1, most: 'model churn, pool default, lane low: quota' })
    vi.advanceTimersByTime(59_999)
    refusals.told({ ...refused, isEnforced: false })
    expect(lines).toHaveLength(1)
    vi.advanceTimersByTime(1)
    expect(lines).toHaveLength(2)
    expect(lines[1]).toMatchObject({ refused: 100, most: 'model churn, pool default, lane low: backlog' })
    refusals.told(refused)
    expect(lines).toHaveLength(2)
  })

  test('at once after a minute without any, and no more than there are', () => {
    const { lines, refusals } = open()
    refusals.told(refused)
    vi.advanceTimersByTime(180_000)
    expect([lines.length, vi.getTimerCount()]).toEqual([1, 0])
    refusals.told(refused)
    expect(lines).toHaveLength(2)
  })

  test('when the gateway ends, those that were only counted, and no timer is left', () => {
    const { lines, refusals } = open()
    for (let each = 0; each < 3; each++) refusals.told(refused)
    refusals.close()
    refusals.close()
    expect(lines.map((line) => line.refused)).toEqual([1, 2])
    expect(vi.getTimerCount()).toBe(0)
  })
})
