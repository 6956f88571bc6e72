import { expect, it } from 'vitest'
import { openBreaker } from './breaker.ts'
import { emptyRecord } from './model-record.ts'
import { countEnded, countTimedOut, isForOperator, readmit, setApart } from './operator-case.ts'

const NEW = emptyRecord('default', 'delay')
const timedOut = (times: number) =>
  Array.from({ length: times }).reduce(countTimedOut, setApart(NEW, 5)) as ReturnType<typeof setApart>

it('a model is a case for the operator from the third event in a row that timed out', () => {
  expect([0, 1, 2, 3, 4].map((times) => isForOperator(timedOut(times)))).toEqual([
    false,
    false,
    false,
    true,
    true,
  ])
  expect([NEW, undefined].map(isForOperator)).toEqual([false, false])
})

it('an event that did not time out begins the count anew', () => {
  expect(countEnded(timedOut(3)).apart).toEqual({ since: 5, inARow: 0 })
  expect(isForOperator(countTimedOut(countEnded(timedOut(2))))).toBe(false)
})

it('a model that was set apart stays so, since when it was, until it is readmitted', () => {
  expect(setApart(timedOut(2), 9)).toEqual(timedOut(2))
  expect(countEnded(setApart(NEW, 5))).toEqual(setApart(NEW, 5))
  expect(readmit(timedOut(3))).toEqual(NEW)
  expect(readmit(openBreaker(timedOut(1), { now: 6, cause: 'it fails', failures: 20 }))).toEqual(NEW)
})

it('nothing is counted of a model that does not run apart', () => {
  expect([countTimedOut(NEW), countEnded(NEW)]).toEqual([NEW, NEW])
})
