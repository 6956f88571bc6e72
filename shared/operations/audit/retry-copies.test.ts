import { expect, test } from 'vitest'
import { copyVerdict } from './retry-copies.ts'

/** How the digest of the payload begins that waits. */
const START = 7

test.each([
  ['the payload that was retried', ['retried'], [START], true, undefined],
  ['one of several that were', ['retried'], [START + 1, START], true, undefined],
  ['any, by a record of before', ['retried'], [], true, undefined],
  ['another payload', ['retried'], [START + 1], true, 'other-digest'],
  ['what a worker retried that could not tell', ['dead-lettered'], [], true, undefined],
] as const)('a copy in RETRIES of %s', (_what, outcomes, retried, isWhole, verdict) => {
  expect(copyVerdict(START, { outcomes: new Set(outcomes), retried }, { isWhole })).toBe(verdict)
})

test.each([
  ['an event the ledger does not know', false, true, 'foreign'],
  ['one that a cut ledger may have known', false, false, undefined],
  ['one with a plain prediction, whose token the ledger does not name', true, true, undefined],
] as const)('a copy in RETRIES of %s', (_what, isSettled, isWhole, verdict) => {
  expect(copyVerdict(START, undefined, { isWhole }, isSettled)).toBe(verdict)
})
