import type { Flow } from '../contract/flow.ts'
import { maxMinShare } from './shares.ts'

/** What is looked back on, milliseconds: two halves, of which the older one fades out. */
const HALF_MS = 500
/** Sources that are told apart at the same time: those beyond share one count. */
const MOST_SOURCES = 1_024
/** Of a half that nothing came before, so much counts as gone at least. */
const LEAST_GONE = 0.2
/** What is let in is hardly ever more than a capacity: who has more than its share of nearly all of it is heavy. */
const NEARLY = 0.9
/** Somebody is to be spared where so much of a capacity is left of the shares of those who have less. */
const UNUSED = 0.1
/** A digest is never empty. */
const OTHERS = ''

/** How many rows came of each source lately. */
export class SourceRates {
  #now = new Map<string, number>()
  #before: ReadonlyMap<string, number> = new Map()
  #since = Number.NEGATIVE_INFINITY

  /**
   * Rows of a source came.
   *
   * @param source its digest; `nowMs` of a clock that never goes back
   */
  came(source: string, rows: number, nowMs: number): void {
    this.#turn(nowMs)
    const counted = this.#now.has(source) || this.#now.size < MOST_SOURCES ? source : OTHERS
    this.#now.set(counted, (this.#now.get(counted) ?? 0) + rows)
  }

  /** What a source that came is called in {@link SourceRates.rates}: itself, or one of those beyond. */
  countedAs(source: string): string {
    return this.#now.has(source) || this.#before.has(source) ? source : OTHERS
  }

  /** Rows a second of each source. */
  rates(nowMs: number): ReadonlyMap<string, number> {
    this.#turn(nowMs)
    const gone = Math.min(1, (nowMs - this.#since) / HALF_MS)
    const rates = new Map<string, number>()
    const perSecond = 1_000 / HALF_MS
    const add = (counts: ReadonlyMap<string, number>, weight: number): void => {
      for (const [source, rows] of counts)
        rates.set(source, (rates.get(source) ?? 0) + rows * weight * perSecond)
    }
    // A half that has just begun says little: what it has not seen yet stands in the one before, if there was one.
    add(this.#now, this.#before.size > 0 ? 1 : 1 / Math.max(LEAST_GONE, gone))
    add(this.#before, 1 - gone)
    return rates
  }

  /** What is said of sources that have more than their share: they, and the one among them that has more than half of all. */
  named(capacityRows: number, nowMs: number): Pick<Flow, 'heavy' | 'hot'> {
    const heavy = [...this.heavy(capacityRows, nowMs)]
    if (heavy.length === 0) return { heavy, hot: null }
    const rates = this.rates(nowMs)
    const half = sumOf(rates.values()) / 2
    return { heavy, hot: heavy.find((source) => (rates.get(source) ?? 0) > half) ?? null }
  }

  /**
   * Sources that have more than their max-min share of a capacity; none where there is enough for all, or where the others have
   * hardly less than that share, or no less than chance brings.
   */
  heavy(capacityRows: number, nowMs: number): ReadonlySet<string> {
    const rates = this.rates(nowMs)
    const most = NEARLY * capacityRows
    const all = [...rates.values()]
    const share = maxMinShare(all, most)
    const unused = all.reduce((sum, rate) => sum + Math.max(0, share - rate), 0)
    return unused >= Math.max(UNUSED * most, byChance(all)) ? beyond(rates, share) : NONE
  }

  #turn(nowMs: number): void {
    const passedMs = nowMs - this.#since
    if (passedMs < HALF_MS) return
    this.#before = passedMs < 2 * HALF_MS ? this.#now : new Map()
    this.#now = new Map()
    this.#since = nowMs
  }
}

const NONE: ReadonlySet<string> = new Set()

/**
 * What sources that send alike leave unused of their shares by chance, rows a second: of n that send N in a half, each as many as a
 * Poisson process brings, half of the mean deviation of all, √(N / n) · √(2 / π) · n / 2. Twice that is hardly ever reached.
 */
function byChance(rates: readonly number[]): number {
  const perSecond = sumOf(rates)
  const halfS = HALF_MS / 1_000
  return Math.sqrt((2 / Math.PI) * rates.length * perSecond * halfS) / halfS
}

function sumOf(numbers: Iterable<number>): number {
  let sum = 0
  for (const each of numbers) sum += each
  return sum
}

function beyond(rates: ReadonlyMap<string, number>, share: number): ReadonlySet<string> {
  const heavy = new Set<string>()
  for (const [source, rate] of rates) if (rate > share) heavy.add(source)
  return heavy
}
