import { expect, test } from 'vitest'
import { rateLimitHeaders, retryAfterSeconds } from './retry-after.ts'

test('Retry-After is whole seconds, at least 1, never before it is worth it, and not the same for all', () => {
  expect([0, 1, 999, 1_000, 1_001].map((ms) => retryAfterSeconds(ms, 0))).toEqual([1, 1, 1, 1, 2])
  expect([0, 1, 999, 1_000, 1_001].map((ms) => retryAfterSeconds(ms, 0.99))).toEqual([1, 1, 2, 2, 2])
  expect(new Set([0, 0.3, 0.6, 0.9].map((random) => retryAfterSeconds(2_500, random)))).toEqual(
    new Set([3, 4]),
  )
})

test('RateLimit says that nothing is left and when there is again, RateLimit-Policy what a quota is', () => {
  const quota = { perSecond: 200, burst: 400 }
  expect(rateLimitHeaders({ policy: 'quota', quota, resetMs: 5 })).toEqual({
    ratelimit: '"quota";r=0;t=1',
    'ratelimit-policy': '"quota";q=400;w=2',
  })
  const slow = { perSecond: 0.5, burst: 1 }
  expect(rateLimitHeaders({ policy: 'quota', quota: slow, resetMs: 1_999 })).toEqual({
    ratelimit: '"quota";r=0;t=2',
    'ratelimit-policy': '"quota";q=1;w=2',
  })
})

test('a share has no policy: it is another one at every moment', () => {
  const headers = rateLimitHeaders({ policy: 'share', quota: undefined, resetMs: 300 })
  expect(headers).toEqual({ ratelimit: '"share";r=0;t=1' })
})
