import { expect, it } from 'vitest'
import { refusalError } from './refused.ts'

const refused = {
  limit: 'backlog',
  value: 100,
  measured: 153.284,
  unit: 'ms',
  retryAfterMs: 53.2,
  isOfSource: false,
  because: 'much waits',
}

it('a refusal names the limit, what was measured, from where on, and when to come back', () => {
  const error = refusalError(refused)
  expect(error.code).toBe('overloaded')
  expect(error.details).toEqual({
    field: 'backlog',
    value: '153.3 ms, at most 100 ms',
    remedy: 'Nothing was stored. Come back in 54 ms.',
    retryAfterMs: 54,
  })
  expect(error.message).toContain('much waits')
})

it('a refusal for what its own source asks is `rate-limited`', () => {
  expect(refusalError({ ...refused, isOfSource: true }).code).toBe('rate-limited')
})

it('a limit without a unit is a number alone', () => {
  expect(refusalError({ ...refused, unit: '' }).details.value).toBe('153.3, at most 100')
})
