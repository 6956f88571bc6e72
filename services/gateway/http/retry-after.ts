import type { SpentLimit } from '../core/refusal.ts'

/**
 * Seconds of `Retry-After`: those that were computed, rounded up to this whole second or the next, by chance. So those who are
 * refused together do not come back together, and nobody too early. Pure.
 *
 * @param random a number in [0, 1)
 */
export function retryAfterSeconds(retryAfterMs: number, random: number): number {
  return Math.max(1, Math.ceil(retryAfterMs / 1_000 + random))
}

/**
 * The fields of draft-ietf-httpapi-ratelimit-headers-10 for a limit of which nothing is left: `RateLimit: "quota";r=0;t=1`, and
 * `RateLimit-Policy: "quota";q=400;w=2` where it is the same at every moment. A token bucket is told as its burst `q` in the
 * window `w` in which it fills. Pure.
 */
export function rateLimitHeaders({ policy, quota, resetMs }: SpentLimit): Readonly<Record<string, string>> {
  const reset = { ratelimit: `"${policy}";r=0;t=${Math.ceil(resetMs / 1_000)}` }
  if (quota === undefined) return reset
  const { perSecond, burst } = quota
  return {
    ...reset,
    'ratelimit-policy': `"${policy}";q=${burst};w=${Math.max(1, Math.ceil(burst / perSecond))}`,
  }
}
