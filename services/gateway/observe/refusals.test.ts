import { pino } from 'pino'
import { expect, test } from 'vitest'
import { watchRefusals } from './refusals.ts'

const refused = { pool: 'default', model: 'churn', lane: 'low', limit: 'backlog', isEnforced: true } as const

test('refusals are said in the log once a minute at most, with their number and what most of them were', () => {
  const lines: Readonly<Record<string, unknown>>[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
  let nowMs = 0
  const told = watchRefusals({ log, hasMetrics: false, now: () => nowMs })
  for (let each = 0; each < 100; each++) told(each % 3 === 0 ? { ...refused, limit: 'quota' } : refused)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({ refused: 1, most: 'model churn, pool default, lane low: quota' })
  nowMs = 60_000
  told({ ...refused, isEnforced: false })
  expect(lines).toHaveLength(2)
  expect(lines[1]).toMatchObject({ refused: 100, most: 'model churn, pool default, lane low: backlog' })
})
