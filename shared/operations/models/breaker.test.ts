import { describe, expect, it } from 'vitest'
import { LANES } from '../../sdk/contract/subjects.ts'
import {
  claimProbe,
  closeBreaker,
  describeBreaker,
  endProbe,
  gatesOf,
  isProbeDue,
  judgeProbe,
  openBreaker,
  type Probed,
  probeInMs,
} from './breaker.ts'
import { emptyRecord, type ModelRecord } from './model-record.ts'

const NEW = emptyRecord('default', 'delay')
const latest = (): number => 1
const OPEN = openBreaker(NEW, { now: 1_000, cause: 'index out of range', failures: 20 }, latest)
const CLAIMED = claimProbe(OPEN, { by: 'one', now: 2_000, until: 12_000 })
const FAILED: Probed = { by: 'one', verdict: 'failed', now: 2_500, failures: 5, cause: 'still' }

const due = ({ breaker }: ModelRecord, now: number): boolean => isProbeDue(breaker, now)

describe('a breaker that opens', () => {
  it('says since when, why, and when it is probed', () => {
    expect(OPEN.breaker).toEqual({
      since: 1_000,
      cause: 'index out of range',
      failures: 20,
      probes: 0,
      nextProbeAt: 2_000,
    })
    expect(describeBreaker(OPEN.breaker!)).toBe(
      'it failed on 20 events in a row, the last time because index out of range; next probe: 1970-01-01T00:00:02.000Z',
    )
  })

  it('stays as it is when another worker opens it as well', () => {
    expect(openBreaker(OPEN, { now: 9_000, cause: 'other', failures: 21 })).toBe(OPEN)
  })

  it('keeps no more of an error than people read', () => {
    const { breaker } = openBreaker(NEW, { now: 0, cause: 'x'.repeat(10_000), failures: 20 })
    expect(breaker?.cause.length).toBe(300)
  })
})

describe('a probe', () => {
  it('is due from its time on, for one worker until its time is over', () => {
    expect([due(OPEN, 1_999), due(OPEN, 2_000)]).toEqual([false, true])
    expect([due(CLAIMED, 11_999), due(CLAIMED, 12_000), due(NEW, 99_999)]).toEqual([false, true, false])
    expect(claimProbe(CLAIMED, { by: 'two', now: 3_000, until: 13_000 })).toBe(CLAIMED)
    expect(claimProbe(OPEN, { by: 'two', now: 1_500, until: 13_000 })).toBe(OPEN)
    expect(claimProbe(CLAIMED, { by: 'two', now: 12_000, until: 22_000 }).breaker?.probing?.by).toBe('two')
  })

  it('of a worker that is gone is due at once', () => {
    const isGone = (worker: string): boolean => worker === 'one'
    expect(isProbeDue(CLAIMED.breaker, 2_001, isGone)).toBe(true)
    const claimed = claimProbe(CLAIMED, { by: 'two', now: 2_001, until: 12_001, isGone })
    expect(claimed.breaker?.probing).toEqual({ by: 'two', until: 12_001 })
    expect(claimProbe(claimed, { by: 'three', now: 2_002, until: 12_002, isGone })).toBe(claimed)
  })

  it.each<[what: string, succeeded: number, failed: number, isOver: boolean, verdict: string | undefined]>([
    ['one that succeeds', 1, 0, false, 'healed'],
    ['one that succeeds behind failures', 1, 4, true, 'healed'],
    ['one failure, and more to come', 0, 1, false, undefined],
    ['failures alone', 0, 2, true, 'failed'],
    ['nothing', 0, 0, true, 'nothing'],
  ])('judges %s', (_what, succeeded, failed, isOver, verdict) => {
    expect(judgeProbe({ succeeded, failed }, isOver)).toBe(verdict)
  })

  it('that succeeds closes the breaker', () => {
    expect(endProbe(CLAIMED, { ...FAILED, verdict: 'healed' })).toEqual(NEW)
    expect([closeBreaker(OPEN), closeBreaker(NEW)]).toEqual([NEW, NEW])
  })

  it('that fails opens it for longer: doubling, up to a minute', () => {
    const failed = endProbe(CLAIMED, FAILED, latest)
    expect(failed.breaker).toEqual({
      since: 1_000,
      cause: 'still',
      failures: 25,
      probes: 1,
      nextProbeAt: 4_500,
    })
    expect([0, 1, 2, 5, 6, 99].map((probes) => probeInMs(probes, latest))).toEqual([
      1_000, 2_000, 4_000, 32_000, 60_000, 60_000,
    ])
    expect(probeInMs(0, () => 0)).toBe(750)
  })

  it('that ran nothing leaves it to the next', () => {
    expect(endProbe(CLAIMED, { ...FAILED, verdict: 'nothing' })).toEqual(OPEN)
  })

  it('counts as long as it is its own, and the breaker is open', () => {
    const taken = claimProbe(CLAIMED, { by: 'two', now: 12_000, until: 22_000 })
    expect([endProbe(taken, FAILED), endProbe(NEW, FAILED), endProbe(OPEN, FAILED)]).toEqual([
      taken,
      NEW,
      OPEN,
    ])
  })
})

describe('what doors are told', () => {
  it('is to refuse every lane until the next probe, and why', () => {
    expect(gatesOf(OPEN, 1_200)).toEqual([
      {
        limit: 'breaker',
        lanes: LANES,
        value: 20,
        measured: 20,
        retryAfterMs: 1_000,
        because: expect.stringMatching(/fails on everything: .*index out of range; next probe: /),
      },
    ])
    const later = endProbe(CLAIMED, FAILED, latest)
    expect(gatesOf(later, 2_500)[0]).toMatchObject({ retryAfterMs: 2_000, measured: 25 })
  })

  it('is nothing while it is closed, and once a probe is due: something has to come to probe with', () => {
    expect([gatesOf(undefined, 0), gatesOf(NEW, 0), gatesOf(OPEN, 2_000)]).toEqual([[], [], []])
  })

  it('is to refuse while somebody probes', () => {
    expect(gatesOf(CLAIMED, 2_000)).toHaveLength(1)
    expect(gatesOf(CLAIMED, 12_000)).toEqual([])
  })
})
