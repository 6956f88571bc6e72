import { expect, test } from 'vitest'
import { readMoment } from './moment.ts'

const NOW = Date.parse('2026-01-02T00:00:00Z')

test.each([
  ['2h', '2026-01-01T22:00:00.000Z'],
  ['1d', '2026-01-01T00:00:00.000Z'],
  ['90s', '2026-01-01T23:58:30.000Z'],
  ['2026-01-01', '2026-01-01T00:00:00.000Z'],
  ['2026-01-01T05:00:00+01:00', '2026-01-01T04:00:00.000Z'],
])('the moment %s is %s', (text, expected) => {
  expect(readMoment(text, NOW)?.toISOString()).toBe(expected)
})

test.each(['2', 'yesterday', '2w', '2026-13-01', ''])('%j is no moment', (text) => {
  expect(readMoment(text, NOW)).toBeUndefined()
})
