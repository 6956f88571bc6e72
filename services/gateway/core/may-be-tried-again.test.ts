import { describe, expect, test } from 'vitest'
import { REASONS } from '../../../shared/sdk/errors.ts'
import type { StoredResult } from '../../../shared/sdk/result.ts'
import { mayBeTriedAgain } from './may-be-tried-again.ts'

const failure = (reason: string) => ({ kind: 'failure', reason }) as StoredResult

describe('an answer that may be tried again', () => {
  test('is each failure whose cause can pass, and no other', () => {
    const kept = Object.keys(REASONS).filter((reason) => !mayBeTriedAgain(failure(reason)))
    expect(kept).toEqual(['malformed', 'schema-mismatch', 'unknown-model', 'too-large'])
  })

  test('is what a newer worker says and nobody here knows', () =>
    expect(mayBeTriedAgain(failure('struck-by-lightning'))).toBe(true))

  test('is no prediction', () => expect(mayBeTriedAgain({ kind: 'prediction' } as StoredResult)).toBe(false))
})
