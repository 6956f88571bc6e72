import { describe, expect, it } from 'vitest'
import type { LaneLook, StreamLook } from './lane-look.ts'
import { judgeService, unservedAlert } from './unserved.ts'

const NOW = Date.parse('2026-01-31T12:00:00Z')
const MINUTE = 60_000
const lane = (change: Partial<LaneLook> = {}): LaneLook => ({
  stream: 'FEATURES',
  consumer: 'worker-default-normal',
  pool: 'default',
  filter: 'features.default.*.normal',
  pending: 3,
  inFlight: 0,
  redelivered: 0,
  waitingPulls: 0,
  lastActiveAt: undefined,
  drift: undefined,
  pausedUntil: undefined,
  orphans: 0,
  ...change,
})
const look = (at: number, lanes: readonly LaneLook[], unserved: StreamLook['unserved'] = []): StreamLook => ({
  stream: 'FEATURES',
  epoch: '2026-01-31T00:00:00Z',
  lastSequence: 9,
  at,
  lanes,
  unserved,
})

/** Judges the same twice, so long apart. */
function judgedAfter(ms: number, seen: (at: number) => StreamLook) {
  const { since } = judgeService(new Map(), [seen(NOW)], MINUTE)
  return judgeService(since, [seen(NOW + ms)], MINUTE).unserved
}

describe('judgeService', () => {
  it('finds a pool without a consumer once that lasts', () => {
    const unserved = [{ pool: 'gpu', count: 4, filter: 'features.gpu.>' }]
    expect(judgedAfter(MINUTE - 1, (at) => look(at, [], unserved))).toEqual([])
    expect(judgedAfter(MINUTE, (at) => look(at, [], unserved))).toMatchObject([
      {
        kind: 'unserved-pool',
        pool: 'gpu',
        count: 4,
        where: [{ stream: 'FEATURES', filter: 'features.gpu.>' }],
      },
    ])
  })

  it('finds a pool whose lanes stand still, all lanes together', () => {
    const lanes = [lane(), lane({ consumer: 'worker-default-low', pending: 1, inFlight: 1 })]
    expect(judgedAfter(2 * MINUTE, (at) => look(at, lanes))).toMatchObject([
      { kind: 'idle-pool', pool: 'default', count: 5, idleMs: 2 * MINUTE },
    ])
  })

  it.each([
    ['a lane with an open pull', { waitingPulls: 1 }],
    ['a lane without events', { pending: 0 }],
    ['a consumer of a stranger', { pool: undefined }],
    ['a lane that handed out or settled something lately', { lastActiveAt: NOW + 2 * MINUTE - 30_000 }],
  ])('takes %s for served', (_what, change) => {
    expect(judgedAfter(2 * MINUTE, (at) => look(at, [lane(change)]))).toEqual([])
  })

  it('begins anew for a lane that was served in between', () => {
    const first = judgeService(new Map(), [look(NOW, [lane()])], MINUTE)
    const served = judgeService(first.since, [look(NOW + MINUTE, [lane({ waitingPulls: 1 })])], MINUTE)
    expect(judgeService(served.since, [look(NOW + 2 * MINUTE, [lane()])], MINUTE).unserved).toEqual([])
  })

  it('says how many wait, since when, and what to do', () => {
    const found = { kind: 'unserved-pool', pool: 'gpu', count: 1_200, where: [], idleMs: MINUTE } as const
    const alert = unservedAlert(found, 3 * MINUTE)
    expect(alert.text).toBe(
      '1,200 events wait for pool gpu, the oldest for 3 min, and it has no consumer for them',
    )
    expect(alert.remedy).toContain('pelton provision --pool gpu')
    expect(unservedAlert({ ...found, kind: 'idle-pool' }, undefined).text).toContain(
      '1,200 events wait for pool gpu; for 60 s',
    )
  })
})
