import { maxMinShare } from './shares.ts'

/** What is looked back on, milliseconds: two halves, of which the older one fades out. */
const HALF_MS = 500
/** Sources that are told apart at the same time: those beyond share one count. */
const MOST_SOURCES = 1_024
const OTHERS = ''

/** How many rows came of each source lately. */
export class SourceRates {
  #now = new Map<string, number>()
  #before: ReadonlyMap<string, number> = new Map()
  #since = Number.NEGATIVE_INFINITY

  /** @param source its digest; `nowMs` of a clock that never goes back */
  came(source: string, rows: number, nowMs: number): void {
    this.#turn(nowMs)
    const known = this.#now.has(source) || this.#now.size < MOST_SOURCES ? source : OTHERS
    this.#now.set(known, (this.#now.get(known) ?? 0) + rows)
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
    // A half that has just begun says little: what it has not seen yet stands in the one before.
    add(this.#now, 1)
    add(this.#before, 1 - gone)
    return rates
  }

  /** Sources that have more than their max-min share of a capacity; none where there is enough for all. */
  heavy(capacityRows: number, nowMs: number): ReadonlySet<string> {
    const rates = this.rates(nowMs)
    if (rates.size < 2) return NONE
    const share = maxMinShare([...rates.values()], capacityRows)
    const heavy = new Set<string>()
    for (const [source, rate] of rates) if (rate > share) heavy.add(source)
    return heavy
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
