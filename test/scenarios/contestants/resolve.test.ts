import { expect, test } from 'vitest'
import { steady } from '../load/schedule.ts'
import { FATE } from '../measure/account.ts'
import { resolve } from './resolve.ts'

const { prediction, deadLetter, accepted } = FATE
const driven = {
  ...{ startMs: 1_000, clockMovedMs: 0, lateMs: { p50: 0, p99: 0, max: 0 }, said: new Map<string, number>() },
  fates: Uint8Array.of(prediction, accepted, accepted, accepted),
  latencyMs: Float64Array.of(5, Number.NaN, Number.NaN, Number.NaN),
  tokens: new Map([
    [1, 'a'],
    [2, 'b'],
    [3, 'c'],
  ]),
}
const outcomes = new Map([
  ['a', { kind: 'prediction', storedAt: 1_300 }],
  ['b', { kind: 'dead-letter', storedAt: 1_900 }],
  ['z', { kind: 'prediction', storedAt: 1_010 }],
] as const)
const drive = { phases: [steady('load', 4, 1)] }

test('accepted events get their outcome, and their latency from when they were to be sent', () => {
  const { fates, stored } = resolve(drive, driven, outcomes, true)
  expect([...fates.fates]).toEqual([prediction, prediction, deadLetter, accepted])
  expect([...fates.latencyMs]).toEqual([5, 50, 400, Number.NaN])
  expect(stored).toEqual({ predictions: 2, deadLetters: 1 })
})

test('who was not answered in time has no use of a prediction', () => {
  expect([...resolve(drive, driven, outcomes, false).fates.latencyMs]).toEqual([
    5,
    Number.NaN,
    Number.NaN,
    Number.NaN,
  ])
})
