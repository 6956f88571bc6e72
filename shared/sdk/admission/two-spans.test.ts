import { expect, test } from 'vitest'
import { TwoSpans } from './two-spans.ts'

function countedAt(...timesMs: readonly number[]) {
  const spans = new TwoSpans(100, () => ({ count: 0 }))
  for (const at of timesMs) {
    spans.turn(at)
    spans.now.count++
  }
  return spans
}

test.each([
  ['within one span', [0, 50, 99], 3, 0],
  ['in the next one', [0, 50, 100], 1, 2],
  ['after one in which nothing came', [0, 50, 200], 1, 0],
] as const)('what comes %s', (_when, timesMs, now, before) => {
  const spans = countedAt(...timesMs)
  expect([spans.now.count, spans.before.count]).toEqual([now, before])
})

test('a span begins with the first that comes after the one before', () => {
  const spans = countedAt(1_000, 1_130)
  expect([spans.goneAt(1_130), spans.goneAt(1_180), spans.goneAt(2_000)]).toEqual([0, 0.5, 1])
})
