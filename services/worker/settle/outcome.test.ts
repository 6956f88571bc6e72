import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DEFAULT_RETRIES } from '../../../shared/models/manifest-schema.ts'
import { ERRORS, type ErrorCode, isReason, PeltonError, REASONS } from '../../../shared/sdk/errors.ts'
import { decideFailure } from './outcome.ts'

const NOW = 1_700_000_000_000
const failed = new PeltonError('inference-failed', 'it went wrong')
const first = { attempt: 1, expiresAt: undefined, now: NOW }
const policy = { maxAttempts: 10, baseDelayMs: 1_000, maxDelayMs: 8_000 }

function delay(attempt: number, random: number): number {
  const outcome = decideFailure(failed, 'infer', { ...first, attempt }, policy, () => random)
  if (outcome.kind !== 'retried') throw new Error(`${outcome.kind} instead of retried`)
  return outcome.dueAt - NOW
}

describe('decideFailure', () => {
  it('spreads a retry over the whole delay, which doubles up to its limit', () => {
    expect([1, 2, 3, 4, 5, 9].map((attempt) => delay(attempt, 0.5))).toEqual([
      500, 1_000, 2_000, 4_000, 4_000, 4_000,
    ])
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (attempt, random) => {
          const ceiling = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (attempt - 1))
          expect(delay(attempt, random)).toBeGreaterThanOrEqual(50)
          expect(delay(attempt, random)).toBeLessThanOrEqual(ceiling)
        },
      ),
    )
  })

  it('does not come back at once, whatever the dice say', () => expect(delay(1, 0)).toBe(50))

  it('gives up after the last attempt', () => {
    const kinds = [1, 2, 3, 4].map((attempt) => decideFailure(failed, 'infer', { ...first, attempt }).kind)
    expect(DEFAULT_RETRIES.maxAttempts).toBe(3)
    expect(kinds).toEqual(['retried', 'retried', 'dead-lettered', 'dead-lettered'])
  })

  it('gives up when the retry would come at or after the deadline', () => {
    const kindBy = (expiresAt: number) =>
      decideFailure(failed, 'infer', { ...first, expiresAt }, policy, () => 0.5).kind
    expect(kindBy(NOW + 501)).toBe('retried')
    expect(kindBy(NOW + 500)).toBe('dead-lettered')
    expect(kindBy(NOW - 1)).toBe('dead-lettered')
  })

  it.each(Object.keys(REASONS).filter(isReason))('does with %s what the table of errors says', (reason) => {
    const outcome = decideFailure(new PeltonError(reason, 'why'), 'decode', first)
    expect(outcome.kind).toBe(REASONS[reason].retryable ? 'retried' : 'dead-lettered')
    expect(outcome).toMatchObject({ failure: { reason, description: 'why', stage: 'decode' } })
  })

  it.each((Object.keys(ERRORS) as ErrorCode[]).filter((code) => !isReason(code)))(
    'takes %s, which is no reason, for a failed inference',
    (code) => {
      const outcome = decideFailure(new PeltonError(code, 'why'), 'infer', first)
      expect(outcome).toMatchObject({ kind: 'retried', failure: { reason: 'inference-failed' } })
    },
  )
})
