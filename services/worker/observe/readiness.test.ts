import { describe, expect, it } from 'vitest'
import { inspectingReason, reasonsAgainst, type WorkerFacts } from './readiness.ts'

const well: WorkerFacts = { isBrokerReachable: true, models: 1, refusing: new Map(), skewMs: 0 }

describe('reasonsAgainst', () => {
  it('finds none in a worker that is well', () => expect(reasonsAgainst(well)).toEqual([]))

  it.each<[string, Partial<WorkerFacts>, RegExp]>([
    ['no connection', { isBrokerReachable: false }, /^broker: /],
    ['no model', { models: 0 }, /^models: /],
    [
      'a stream that refuses',
      { refusing: new Map([['LEDGER', 'full']]) },
      /^storage: LEDGER refuses \(full\)$/,
    ],
    ['a clock that is ahead', { skewMs: 5_001 }, /^clock: 5\.0 s off/],
    ['a clock that is behind', { skewMs: -7_200_000 }, /^clock: -7200\.0 s off/],
  ])('names %s', (_what, facts, reason) => {
    expect(reasonsAgainst({ ...well, ...facts })).toEqual([expect.stringMatching(reason)])
  })

  it('tolerates a clock within five seconds', () =>
    expect(reasonsAgainst({ ...well, skewMs: -5_000 })).toEqual([]))

  it('names everything at once', () => {
    const all = { isBrokerReachable: false, models: 0, refusing: new Map([['RESULTS', 'x']]), skewMs: 6_000 }
    expect(reasonsAgainst(all).map((reason) => reason.split(':')[0])).toEqual([
      'broker',
      'storage',
      'models',
      'clock',
    ])
  })
})

it('a worker that starts says how many of its models are ready', () => {
  expect(inspectingReason({ served: 2, of: 5 })).toBe('models: 2 of 5 are ready, the others are inspected')
})
