import { describe, expect, it } from 'vitest'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { deliveryOf } from '../../../test/kit/deliveries.ts'
import { concludeLate } from '../prepare/deadline.ts'
import { type Batch, isConcluded, type Passed, type Prepared, rowsOf } from '../prepare/prepared.ts'
import type { Predicted } from '../settle/outcome.ts'
import { Shedding, type SheddingDeps } from './shedding.ts'

const NOW = Date.parse('2026-06-01T12:00:00Z')
/** 2 ms a row whatever the batch. */
const COST = { fixedMs: 0, perRowMs: 2, handOverMs: 0, batchRows: 8 }
const MODEL = { key: 'm@1', name: 'm', version: '1' }

interface Given {
  readonly lane?: Lane
  /** How long until its deadline. */
  readonly leftMs?: number
  /** How long ago it was stored. */
  readonly ageMs?: number
  readonly rows?: number
  readonly headers?: Readonly<Record<string, string>>
}

function event({ lane = 'normal', leftMs, ageMs = 0, rows = 1, headers }: Given = {}): Prepared {
  const expiry = leftMs === undefined ? {} : { 'ce-expirytime': new Date(NOW + leftMs).toISOString() }
  const delivery = deliveryOf({ model: 'm', lane, storedAt: NOW - ageMs, headers: { ...expiry, ...headers } })
  return { delivery, model: MODEL, rows, maxBatchRows: 64, kind: 'm' } as unknown as Prepared
}

const events = (count: number, given: Given): Prepared[] => Array.from({ length: count }, () => event(given))

function open(given: Partial<SheddingDeps> = {}): Shedding {
  return new Shedding({
    aheadRows: () => 0,
    running: () => [],
    costOf: () => COST,
    isUrgent: ({ delivery }) => delivery.event.route.lane !== 'low',
    isApart: () => false,
    isOff: () => false,
    threads: 1,
    hasRoom: () => true,
    ...given,
  })
}

/** What is given up of what passed, and why; `-` for what goes on. */
function fates(passed: Passed): string {
  return passed
    .map((each) => {
      if (!isConcluded(each)) return '-'
      const { outcome } = each
      return outcome.kind === 'dead-lettered' ? (outcome.shed ?? outcome.failure.reason) : outcome.kind
    })
    .join(' ')
}

/** The last look before a run, at a batch that has its place behind others. */
function lastLook(batch: Batch, others: readonly Batch[], given: Partial<SheddingDeps> = {}): string {
  const shedding = open({ running: () => [...others, batch], ...given })
  return fates(shedding.beforeRun(batch, concludeLate(batch, NOW), NOW))
}

/** A worker that holds so many rows, and runs none meanwhile. */
function admit(batch: Batch, given: Partial<SheddingDeps> & { readonly held?: number } = {}) {
  let { held = 0 } = given
  const parts: Batch[] = []
  const shedding = open({ aheadRows: () => held, ...given })
  const givenUp = shedding.admit(batch, NOW, (some) => {
    parts.push(some)
    held += rowsOf(some)
  })
  return { givenUp, added: parts.flat(), parts: parts.length }
}

/** Which of a batch go on, by their places. */
const goingOn = (batch: Batch, given?: Parameters<typeof admit>[1]): number[] =>
  admit(batch, given).added.map((event) => batch.indexOf(event))

describe('an event that is about to wait', () => {
  it('is given up where what is ahead of it takes too long, and says what was predicted', () => {
    const batch = [event({ leftMs: 300 }), event({ leftMs: 250 })]
    const { givenUp, added } = admit(batch, { held: 125 })
    expect(added).toEqual([batch[0]])
    expect(givenUp).toMatchObject([
      {
        delivery: batch[1]?.delivery,
        outcome: {
          kind: 'dead-lettered',
          modelVersion: '1',
          shed: 'predicted',
          failure: {
            reason: 'shed',
            stage: 'batch',
            description: expect.stringMatching(
              /126 rows ahead of it take 252 ms and its run 2 ms, .* 250 ms away/,
            ),
            details: {
              field: 'ce-expirytime',
              value: new Date(NOW + 250).toISOString(),
              remedy: expect.stringContaining('Replay it'),
            },
          },
        },
      },
    ])
  })

  it('waits behind those that came with it, and all are added at once where all will be in time', () => {
    const { added, parts, givenUp } = admit(events(118, { leftMs: 250 }))
    expect([added.length, parts, givenUp.length]).toEqual([118, 1, 0])
    // A worker with nothing to do takes as many as it can run in time: 118 rows of 2 ms before the last.
    expect(admit(events(200, { leftMs: 250 })).added).toHaveLength(118)
  })

  it('is asked for again once those before it are added: they need not all run before it', () => {
    // Of a higher lane, or with a nearer deadline: nothing is ahead of it.
    const batch = [...events(10, { leftMs: 1_000 }), event({ leftMs: 10, lane: 'high' })]
    const aheadRows = ({ delivery }: Prepared): number => (delivery.event.route.lane === 'high' ? 0 : 1)
    const { added, parts } = admit(batch, { aheadRows })
    expect([added.length, parts]).toEqual([11, 2])
  })

  it('is never given up without a deadline, as a replay, or where its model runs apart or has its admission off', () => {
    const held = 1_000_000
    expect(goingOn([event()], { held })).toEqual([0])
    for (const headers of [{ 'Pelton-Replay': 'task' }, { 'Pelton-Supersedes': '7' }])
      expect(goingOn([event({ leftMs: 10, headers })], { held })).toEqual([0])
    for (const given of [{ isApart: () => true }, { isOff: () => true }])
      expect(goingOn([event({ leftMs: 10 })], { held, ...given })).toEqual([0])
  })

  it('is not given up by a worker that has nothing to do, whatever its model is thought to cost', () => {
    const costOf = (): typeof COST => ({ ...COST, perRowMs: 1e9 })
    expect(goingOn(events(3, { leftMs: 250 }), { costOf })).toEqual([0])
  })

  it('counts the threads that it may have: patient ones never get the last', () => {
    const one = (lane: Lane): Prepared[] => [event({ leftMs: 250, lane })]
    expect(goingOn(one('normal'), { held: 200, threads: 2 })).toEqual([0])
    expect(goingOn(one('low'), { held: 200, threads: 2 })).toEqual([])
    // Two patient batches keep a thread.
    const running = (): Batch[] => [[event({ lane: 'low' })], [event({ lane: 'low' })]]
    expect(goingOn(one('normal'), { held: 200, threads: 2, running })).toEqual([])
  })

  it('counts what storing predictions has taken lately', () => {
    const shedding = open({ aheadRows: () => 100 })
    const admitted = (): number => {
      let count = 0
      shedding.admit([event({ leftMs: 250 })], NOW, (some) => {
        count += some.length
      })
      return count
    }
    expect(admitted()).toBe(1)
    const stored = { delivery: event().delivery, outcome: { facts: { queueMs: 1, inferenceMs: 2 } } }
    shedding.stored(stored as unknown as Predicted, NOW + 3 + 20)
    expect(admitted()).toBe(0)
  })

  it('goes on where DEADLETTERS has no room for what could still run', () => {
    expect(goingOn(events(2, { leftMs: 100 }), { held: 1_000, hasRoom: () => false })).toEqual([0, 1])
  })
})

describe('the last look before a run', () => {
  it('gives up what would be late behind the runs that began before, and its neighbours go on', () => {
    const others = [events(8, {})]
    const batch = [event({ leftMs: 20 }), event({ leftMs: 30 }), event(), event({ leftMs: -1 })]
    expect(lastLook(batch, others)).toBe('predicted - - deadline-exceeded')
  })

  it('runs what is first in any case', () => {
    expect(lastLook(events(8, { leftMs: 1 }), [])).toBe(Array(8).fill('-').join(' '))
  })

  it('looks at no runs that take other threads, or that began later', () => {
    const low = [event({ lane: 'low', rows: 1_000 })]
    expect(lastLook([event({ leftMs: 20 })], [low], { threads: 2 })).toBe('-')
    const batch = [event({ leftMs: 20 })]
    const running = (): Batch[] => [batch, events(8, {})]
    expect(lastLook(batch, [], { running })).toBe('-')
  })

  it.each([
    ['low', 'codel'],
    ['normal', '-'],
  ] as const)(
    'gives up in lane %s, where it stands, what is older than 80 %% of its deadline: %s',
    (lane, fate) => {
      const other = [event({ lane })]
      const old = [event({ lane, leftMs: 1_000, ageMs: 9_000 })]
      const shedding = open({ running: () => [other, old] })
      const looks = [0, 50, 101, 150].map((ms) => fates(shedding.beforeRun(old, old, NOW + ms)))
      expect(looks).toEqual(['-', '-', '-', fate])
    },
  )

  it('goes on where DEADLETTERS has no room for what could still run, but for what is expired', () => {
    const batch = [event({ leftMs: 1 }), event({ leftMs: -1 })]
    expect(lastLook(batch, [events(8, {})], { hasRoom: () => false })).toBe('- deadline-exceeded')
  })
})
