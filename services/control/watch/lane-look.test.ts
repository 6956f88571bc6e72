import { describe, expect, it } from 'vitest'
import type { ListedConsumer } from '../../../shared/operations/broker/consumer-list.ts'
import { createNames } from '../../../shared/sdk/contract/names.ts'
import { accountFor, matcherOf } from './lane-look.ts'

const consumer = (name: string, filter: string, change: object = {}): ListedConsumer => ({
  name,
  ts: '2026-01-31T12:00:00Z',
  config: { filter_subject: filter, max_deliver: -1 },
  num_pending: 0,
  num_ack_pending: 0,
  num_redelivered: 0,
  num_waiting: 0,
  ...change,
})
const normal = (change: object = {}): ListedConsumer =>
  consumer('worker-default-normal', 'features.default.*.normal', change)
const counts = (entries: Readonly<Record<string, number>>): ReadonlyMap<string, number> =>
  new Map(Object.entries(entries))

describe('accountFor', () => {
  it('takes for an orphan what matches a filter and is neither pending nor in flight', () => {
    const stored = counts({ 'features.default.a.normal': 5, 'features.default.b.normal': 2 })
    const { lanes, unserved } = accountFor(
      'FEATURES',
      [normal({ num_pending: 3, num_ack_pending: 1 })],
      stored,
      0,
    )
    expect(lanes).toMatchObject([
      { consumer: 'worker-default-normal', pool: 'default', orphans: 3, pending: 3, inFlight: 1 },
    ])
    expect(unserved).toEqual([])
  })

  it('takes off what was stored while it looked, and is never below zero', () => {
    const stored = counts({ 'features.default.a.normal': 5 })
    expect(accountFor('FEATURES', [normal({ num_pending: 3 })], stored, 1).lanes[0]?.orphans).toBe(1)
    expect(accountFor('FEATURES', [normal({ num_pending: 3 })], stored, 9).lanes[0]?.orphans).toBe(0)
    expect(accountFor('FEATURES', [normal({ num_pending: 9 })], stored, 0).lanes[0]?.orphans).toBe(0)
  })

  it('gives events nobody asks for to their pool, by its name', () => {
    const stored = counts({
      'features.gpu%202.m.high': 2,
      'features.gpu%202.m.low': 1,
      'features.default.m.normal': 1,
    })
    const { unserved } = accountFor('FEATURES', [normal({ num_pending: 1 })], stored, 0)
    expect(unserved).toEqual([{ pool: 'gpu 2', count: 3, filter: 'features.gpu%202.>' }])
  })

  it.each([
    [{ filter_subject: 'features.default.*.normal', max_deliver: 3 }, 'max_deliver is 3'],
    [{ filter_subject: 'features.default.*.normal', max_deliver: -1, backoff: [1e9] }, 'it has a backoff'],
    [
      { filter_subject: 'features.default.x.normal', max_deliver: -1 },
      'filter_subject is features.default.x.normal',
    ],
    [{ filter_subjects: ['a', 'b'], max_deliver: -1 }, 'filter_subject is ["a","b"]'],
    [{ filter_subject: 'features.default.*.normal', max_deliver: -1 }, undefined],
  ])('names how %o loses events', (config, drift) => {
    expect(accountFor('FEATURES', [normal({ config })], counts({}), 0).lanes[0]?.drift).toBe(drift)
  })

  it.each([
    [{ filter_subject: 'features.default.x.normal' }, 'filter_subject is staging.features.default.x.normal'],
    [
      { filter_subjects: ['features.>', '$KV.pelton-models.>'] },
      'filter_subject is ["staging.features.>","$KV.pelton-staging-models.>"]',
    ],
  ])('names a filter %o as the broker of a Pelton with a prefix has it', (filter, drift) => {
    const lanes = [normal({ config: { ...filter, max_deliver: -1 } })]
    const found = accountFor('FEATURES', lanes, counts({}), 0, createNames('staging'))
    expect(found.lanes[0]?.drift).toBe(drift)
  })

  it('names until when a consumer is paused', () => {
    const until = '2099-01-01T00:00:00Z'
    const config = { filter_subject: 'features.default.*.normal', max_deliver: -1, pause_until: until }
    const paused = (change: object): string | undefined =>
      accountFor('FEATURES', [normal({ config, ...change })], counts({}), 0).lanes[0]?.pausedUntil
    expect(paused({ paused: true })).toBe(until)
    expect(paused({ paused: false })).toBeUndefined()
  })

  it('leaves a stranger what is its own: no pool, and no judgement of its configuration', () => {
    const stranger = consumer('tap', 'features.default.*.normal', { config: { max_deliver: 5 } })
    expect(accountFor('FEATURES', [stranger], counts({}), 0).lanes).toMatchObject([
      { pool: undefined, drift: undefined, filter: '>' },
    ])
  })

  it('knows the consumers of due retries, also of a pool with a name of its own', () => {
    const due = consumer('retry-gpu%202-high', 'due.gpu%202.*.high.*')
    const stored = counts({ 'due.gpu%202.m.high.AAAAAAAAAAAAAAAAAAAAAA': 1 })
    expect(accountFor('RETRIES', [due], stored, 0).lanes).toMatchObject([
      { pool: 'gpu 2', drift: undefined, orphans: 1 },
    ])
  })
})

describe('matcherOf', () => {
  it.each([
    ['features.default.*.normal', 'features.default.m.normal', true],
    ['features.default.*.normal', 'features.default.m.high', false],
    ['features.default.*.normal', 'features.default.m.x.normal', false],
    ['features.>', 'features.default.m.normal', true],
    ['features.>', 'features', false],
    ['>', 'anything', true],
    ['a.b', 'a.b.c', false],
    ['a.b.c', 'a.b', false],
  ])('%s and %s: %s', (filter, subject, isMatch) => {
    expect(matcherOf(['never.this', filter])(subject)).toBe(isMatch)
  })
})
