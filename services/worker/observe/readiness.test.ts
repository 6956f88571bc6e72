import { describe, expect, it } from 'vitest'
import { createNames, PLAIN_NAMES } from '../../../shared/sdk/contract/names.ts'
import { inspectingReason, notesOn, reasonsAgainst, type WorkerFacts } from './readiness.ts'

const well: WorkerFacts = {
  isBrokerReachable: true,
  models: 1,
  refusing: new Map(),
  ledgerStops: undefined,
  skewMs: 0,
  names: PLAIN_NAMES,
}

describe('reasonsAgainst', () => {
  it('finds none in a worker that is well', () => expect(reasonsAgainst(well)).toEqual([]))

  it.each<[string, Partial<WorkerFacts>, RegExp]>([
    ['no connection', { isBrokerReachable: false }, /^broker: no connection$/],
    ['why there is none', { isBrokerReachable: false, whyAway: 'x' }, /^broker: no connection: x$/],
    ['no model', { models: 0 }, /^models: /],
    [
      'a stream that refuses',
      { refusing: new Map([['LEDGER', 'full']]) },
      /^storage: LEDGER refuses \(full\)$/,
    ],
    ['a ledger that is nearly full', { ledgerStops: '81 %' }, /^storage: LEDGER is nearly full \(81 %\)$/],
    ['a clock that is ahead', { skewMs: 5_001 }, /^clock: 5\.0 s off/],
    ['a clock that is behind', { skewMs: -7_200_000 }, /^clock: -7200\.0 s off/],
  ])('names %s', (_what, facts, reason) => {
    expect(reasonsAgainst({ ...well, ...facts })).toEqual([expect.stringMatching(reason)])
  })

  it('names streams as the broker has them', () => {
    const refusing = new Map([['KV_pelton-starts', 'full']])
    const reasons = reasonsAgainst({ ...well, refusing, ledgerStops: '81 %', names: createNames('staging') })
    expect(reasons).toEqual([
      'storage: KV_pelton-staging-starts refuses (full)',
      'storage: staging-LEDGER is nearly full (81 %)',
    ])
  })

  it('tolerates a clock within five seconds', () =>
    expect(reasonsAgainst({ ...well, skewMs: -5_000 })).toEqual([]))

  it('names everything at once', () => {
    const refusing = new Map([['RESULTS', 'x']])
    const all = { ...well, isBrokerReachable: false, models: 0, refusing, ledgerStops: '81 %', skewMs: 6_000 }
    expect(reasonsAgainst(all).map((reason) => reason.split(':')[0])).toEqual([
      'broker',
      'storage',
      'storage',
      'models',
      'clock',
    ])
  })
})

describe('notesOn', () => {
  it('names each model that is not servable, why, what waits for it, and the lanes that stand', () => {
    const models = [
      { model: 'scorer', cause: 'refused', text: 'its file is gone' },
      { model: 'other', cause: 'missing', text: 'not in the folder' },
    ] as const
    const waiting = [
      { model: 'scorer', cause: 'refused', place: 'parked', events: 1_200 },
      { model: 'scorer', cause: 'refused', place: 'held-back', events: 7 },
    ] as const
    expect(notesOn({ models, waiting, lanes: ['worker-default-low'] })).toEqual([
      'model: "scorer" is not servable here (refused), 1,200 parked, 7 held back: its file is gone',
      'model: "other" is not servable here (missing): not in the folder',
      'lane: worker-default-low stands, no more events may be held back',
    ])
  })

  it('counts what it does not name', () => {
    const models = Array.from({ length: 12 }, (_each, index) => ({
      model: `m${index}`,
      cause: 'missing' as const,
      text: 'gone',
    }))
    expect(notesOn({ models, waiting: [], lanes: [] }).at(-1)).toBe('model: 2 more are not')
  })
})

it('a worker that starts says how many of its models are ready', () => {
  expect(inspectingReason({ served: 2, of: 5 })).toBe('models: 2 of 5 are ready, the others are inspected')
})
