import type { Refused } from '../../../shared/sdk/admission/refused.ts'
import type { Caller } from './request.ts'

/** What a class of keys may ask for. */
export interface QuotaClass {
  /** Requests a second, in the long run. */
  readonly perSecond: number
  /** Requests at once, after a while without any. */
  readonly burst: number
}

export type QuotaClasses = ReadonlyMap<string, QuotaClass>

const CLASS = /^([A-Za-z0-9_.-]{1,64})=(\d{1,7}(?:\.\d{1,3})?)\/(\d{1,7})$/

/**
 * Quotas of classes from text such as `gold=200/400,free=0.5/10`: requests a second, and at once.
 *
 * @returns undefined for what is none: an amount of 0, a class that is named twice
 */
export function readQuotas(text: string): QuotaClasses | undefined {
  const classes = new Map<string, QuotaClass>()
  for (const each of text.split(',')) {
    const [, name, perSecond, burst] = CLASS.exec(each.trim()) ?? []
    const quota = { perSecond: Number(perSecond), burst: Number(burst) }
    if (name === undefined || classes.has(name) || !(quota.perSecond > 0 && quota.burst >= 1))
      return undefined
    classes.set(name, quota)
  }
  return classes
}

/** What is left of a quota. */
export interface Bucket {
  readonly tokens: number
  /** When that was so, milliseconds of a clock that never goes back. */
  readonly atMs: number
}

/**
 * A bucket at a later moment: it fills at a steady pace, up to its burst. The token bucket of traffic shapers (Turner, New
 * directions in communications, 1986; RFC 2697). Pure.
 */
export function filled({ tokens, atMs }: Bucket, { perSecond, burst }: QuotaClass, nowMs: number): Bucket {
  const passedMs = Math.max(0, nowMs - atMs)
  return { tokens: Math.min(burst, tokens + (passedMs * perSecond) / 1_000), atMs: atMs + passedMs }
}

/** What a class is called whose keys are not counted is said once for each, and for so many at most. */
const MOST_NAMED = 100

/** The quotas of API keys at one gateway. There is a bucket for each key that was used lately. */
export class Quotas {
  readonly #classes: QuotaClasses
  readonly #onUnknown: (quotaClass: string) => void
  readonly #unknown = new Set<string>()
  readonly #buckets = new Map<string, Bucket>()
  /** After it every bucket is full, milliseconds. */
  readonly #fullAfterMs: number
  #sweptAtMs = 0

  /** @param onUnknown told of each class that a key names and nobody has set: its keys have no quota */
  constructor(classes: QuotaClasses, onUnknown: (quotaClass: string) => void) {
    this.#classes = classes
    this.#onUnknown = onUnknown
    const longestS = [...classes.values()].map(({ perSecond, burst }) => burst / perSecond)
    this.#fullAfterMs = 1_000 * Math.max(1, ...longestS)
  }

  /** Why one more request of a caller is refused now; undefined where it is not, or has no quota. Takes nothing. */
  look(caller: Caller, nowMs: number): Refused | undefined {
    const quota = this.#quotaOf(caller)
    if (quota === undefined) return undefined
    const { tokens } = this.#bucket(caller, quota, nowMs)
    return tokens >= 1 ? undefined : refusedByQuota(caller, quota, tokens)
  }

  /** Takes one request from the quota of a caller that was looked at before. */
  take(caller: Caller, nowMs: number): void {
    const quota = this.#quotaOf(caller)
    if (quota === undefined) return
    const { tokens, atMs } = this.#bucket(caller, quota, nowMs)
    this.#buckets.set(caller.source, { tokens: Math.max(0, tokens - 1), atMs })
    this.#sweep(nowMs)
  }

  /** The quota of a caller; undefined where it has none. */
  of({ quotaClass }: Pick<Caller, 'quotaClass'>): QuotaClass | undefined {
    return quotaClass === undefined ? undefined : this.#classes.get(quotaClass)
  }

  #quotaOf(caller: Caller): QuotaClass | undefined {
    const { quotaClass } = caller
    const quota = this.of(caller)
    const isNew = quotaClass !== undefined && quota === undefined && !this.#unknown.has(quotaClass)
    if (isNew && this.#unknown.size < MOST_NAMED) {
      this.#unknown.add(quotaClass)
      this.#onUnknown(quotaClass)
    }
    return quota
  }

  #bucket({ source }: Caller, quota: QuotaClass, nowMs: number): Bucket {
    const known = this.#buckets.get(source) ?? { tokens: quota.burst, atMs: nowMs }
    return filled(known, quota, nowMs)
  }

  /** Forgets buckets that are full by now: a key that comes back finds the same. */
  #sweep(nowMs: number): void {
    if (nowMs - this.#sweptAtMs < this.#fullAfterMs) return
    this.#sweptAtMs = nowMs
    for (const [source, { atMs }] of this.#buckets)
      if (nowMs - atMs >= this.#fullAfterMs) this.#buckets.delete(source)
  }
}

function refusedByQuota({ quotaClass }: Caller, { perSecond, burst }: QuotaClass, tokens: number): Refused {
  return {
    limit: 'quota',
    value: burst,
    measured: burst - Math.floor(tokens) + 1,
    unit: 'requests',
    retryAfterMs: (1_000 * (1 - tokens)) / perSecond,
    isOfSource: true,
    because: `this key has used up its quota: class ${quotaClass} has ${perSecond} requests a second, ${burst} at once`,
  }
}
