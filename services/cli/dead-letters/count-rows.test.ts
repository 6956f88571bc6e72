import { expect, it } from 'vitest'
import { countRows } from './count-rows.ts'

const group = (model: string, reason: string, count = 1) => ({
  model,
  reason,
  count,
  description: 'why',
  first: `2026-01-31T12:00:${String(count).padStart(2, '0')}.000Z`,
  last: '2026-01-31T13:00:00.000Z',
})

it('10,000 made-up names are ten rows and a count, and hide nothing of another reason', () => {
  const made = Array.from({ length: 10_000 }, (_name, index) => group(`made-up-${index}`, 'unknown-model'))
  const rows = countRows([group('churn', 'schema-mismatch', 7), ...made, group('churn', 'malformed')])
  expect(rows).toHaveLength(13)
  expect(rows.map(([count, model]) => [count, model])).toEqual([
    ['7', 'churn'],
    ...Array.from({ length: 10 }, (_row, index) => ['1', `made-up-${index}`]),
    ['1', 'churn'],
    ['9,990', 'and 9,990 more'],
  ])
  expect(rows.at(-1)?.slice(2, 5)).toEqual([
    'unknown-model',
    '2026-01-31T12:00:01.000Z',
    '2026-01-31T13:00:00.000Z',
  ])
})
