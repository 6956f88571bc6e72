import { describe, expect, test } from 'vitest'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { deadlineOf, laneOf, messageOfEvent, sourceOf, waitMsOf } from './event-of-request.ts'
import type { Caller, InferenceRequest } from './request.ts'

const NOW = Date.parse('2026-01-31T12:00:00.000Z')
const SYNC = { mode: 'sync' } as const
const ASYNC = { mode: 'async', waitMs: 0 } as const
const dateAt = (ms: number): Date => new Date(NOW + ms)
const at = (ms: number): string => dateAt(ms).toISOString()

function fieldOf(act: () => unknown): string | undefined {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof PeltonError && thrown.code === 'invalid-argument') return thrown.details.field
  }
  return undefined
}

describe('the deadline of a request', () => {
  test('is its timeout, else that of the gateway where it is waited for, else none', () => {
    expect(deadlineOf({ timeoutMs: 500 }, SYNC, 10_000, NOW)).toEqual({ leftMs: 500, expiresAt: dateAt(500) })
    expect(deadlineOf({ timeoutMs: undefined }, SYNC, 10_000, NOW)).toEqual({
      leftMs: 10_000,
      expiresAt: dateAt(10_000),
    })
    expect(deadlineOf({ timeoutMs: undefined }, ASYNC, 10_000, NOW)).toEqual({
      leftMs: undefined,
      expiresAt: undefined,
    })
    expect(deadlineOf({ timeoutMs: 500 }, ASYNC, 10_000, NOW)).toEqual({
      leftMs: 500,
      expiresAt: dateAt(500),
    })
  })

  test('is the time it gives itself where that is earlier, as it was written', () => {
    const given = (ms: number) => ({ timeoutMs: 1_000, attributes: { expiresAt: at(ms) } })
    expect(deadlineOf(given(300), SYNC, 10_000, NOW)).toEqual({ leftMs: 300, expiresAt: at(300) })
    expect(deadlineOf(given(3_000), SYNC, 10_000, NOW)).toEqual({ leftMs: 1_000, expiresAt: dateAt(1_000) })
    expect(deadlineOf(given(-50), SYNC, 10_000, NOW)).toEqual({ leftMs: 0, expiresAt: at(-50) })
    const later = { timeoutMs: undefined, attributes: { expiresAt: at(9e7) } }
    expect(deadlineOf(later, ASYNC, 10_000, NOW)).toEqual({ leftMs: 9e7, expiresAt: at(9e7) })
  })

  test('is refused where it is none', () => {
    for (const timeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 3_600_001])
      expect(fieldOf(() => deadlineOf({ timeoutMs }, SYNC, 10_000, NOW))).toBe('timeout')
    const attributes = { expiresAt: '2026-02-30T00:00:00Z' }
    expect(fieldOf(() => deadlineOf({ timeoutMs: 1, attributes }, SYNC, 10_000, NOW))).toBe('expiresAt')
  })
})

test('a wait is an hour at most, and never negative', () => {
  expect([0, 5, 1e12, Number.POSITIVE_INFINITY].map(waitMsOf)).toEqual([0, 5, 3_600_000, 3_600_000])
  for (const waitMs of [-1, Number.NaN]) expect(fieldOf(() => waitMsOf(waitMs))).toBe('waitMs')
})

test('a lane is lowered to the highest of its caller, and never raised', () => {
  expect(laneOf({ highestLane: 'normal' }, 'high')).toEqual({ lane: 'normal', loweredFrom: 'high' })
  expect(laneOf({ highestLane: 'normal' }, 'normal')).toEqual({ lane: 'normal', loweredFrom: undefined })
  expect(laneOf({ highestLane: 'high' }, 'low')).toEqual({ lane: 'low', loweredFrom: undefined })
})

test('a source of its own counts only where no key is needed', () => {
  const asked = (keyId: string | undefined, source?: string) =>
    sourceOf({ caller: { keyId, source: 'own' } as Caller, attributes: { source } } as InferenceRequest)
  expect(asked(undefined, 'sensor')).toBe('sensor')
  expect(asked(undefined)).toBe('own')
  expect(asked('k', 'sensor')).toBe('own')
  expect(asked('k', 'key/k')).toBe('own')
  expect(fieldOf(() => asked(undefined, 'key/k'))).toBe('source')
})

describe('an event with further attributes', () => {
  const event = { model: 'm', id: 'i', data: new Uint8Array(10) }
  const origin = { source: 's', pool: 'p', now: NOW }

  test('has them behind its own, and their bytes', () => {
    const plain = messageOfEvent(event, origin)
    const message = messageOfEvent(event, origin, [['ce-tenant', 'blue']])
    expect(message.headers).toEqual([...plain.headers, ['ce-tenant', 'blue']])
    expect(message.sizeBytes).toBe(plain.sizeBytes + 'ce-tenant: blue\r\n'.length)
  })

  test('takes none that means something else, or ends its line', () => {
    for (const name of [
      'Nats-Msg-Id',
      'ce-id',
      'ce-expirytime',
      'ce-',
      'ce-Tenant',
      'Pelton-Replay',
      'a: b\r\nce-x',
    ])
      expect(fieldOf(() => messageOfEvent(event, origin, [[name, 'x']]))).toBe('extension')
    for (const value of ['', 'a\r\nNats-Msg-Id: b', 'é', ' a', 'a\0'])
      expect(fieldOf(() => messageOfEvent(event, origin, [['ce-x', value]]))).toBe('ce-x')
    expect(fieldOf(() => messageOfEvent(event, { ...origin, source: 'a\nb' }))).toBe('source')
  })
})
