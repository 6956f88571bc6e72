import { maxMinShare } from './shares.ts'
import { TwoSpans } from './two-spans.ts'

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

/** What came in a half. */
interface Half {
  readonly rows: Map<string, number>
  /** The sum of the squares of what came at once: what chance does to a sum goes by that. */
  squares: number
}

/** How many rows came of each source lately. */
export class SourceRates {
  readonly #halves = new TwoSpans<Half>(HALF_MS, () => ({ rows: new Map(), squares: 0 }))

  /**
   * Rows of a source came.
   *
   * @param source its digest; `nowMs` of a clock that never goes back
   */
  came(source: string, rows: number, nowMs: number): void {
    this.#halves.turn(nowMs)
    const { now } = this.#halves
    const { rows: known } = now
    const counted = known.has(source) || known.size < MOST_SOURCES ? source : OTHERS
    known.set(counted, (known.get(counted) ?? 0) + rows)
    now.squares += rows * rows
  }

  /** What a source that came is called in {@link SourceRates.rates}: itself, or one of those beyond. */
  countedAs(source: string): string {
    const { now, before } = this.#halves
    return now.rows.has(source) || before.rows.has(source) ? source : OTHERS
  }

  /** Rows a second of each source. */
  rates(nowMs: number): ReadonlyMap<string, number> {
    const rates = new Map<string, number>()
    for (const [{ rows }, weight] of this.#weighted(nowMs))
      for (const [source, count] of rows)
        rates.set(source, (rates.get(source) ?? 0) + count * weight * A_SECOND)
    return rates
  }

  /**
   * What is said of sources: those that have more than their max-min share of a capacity, and the one among them that has more than
   * half of all, which is the first. None where there is enough for all, or where the others have hardly less than that share, or
   * no less than chance brings.
   */
  named(
    capacityRows: number,
    nowMs: number,
  ): { readonly heavy: readonly string[]; readonly hot: string | null } {
    const rates = this.rates(nowMs)
    const most = NEARLY * capacityRows
    const all = [...rates.values()]
    const share = maxMinShare(all, most)
    const unused = all.reduce((sum, rate) => sum + Math.max(0, share - rate), 0)
    if (unused < Math.max(UNUSED * most, this.#byChance(all.length, nowMs))) return NOBODY
    const half = all.reduce((sum, rate) => sum + rate, 0) / 2
    const heavy = [...rates.keys()].filter((source) => (rates.get(source) ?? 0) > share)
    const hot = heavy.find((source) => (rates.get(source) ?? 0) > half) ?? null
    return { heavy: hot === null ? heavy : [hot, ...heavy.filter((source) => source !== hot)], hot }
  }

  /**
   * Twice what sources that send alike leave unused of their shares by chance, rows a second. Each has as much as a compound Poisson
   * process brings: of n sources the standard deviation is √(Σ squares / n), the mean deviation √(2 / π) times that, and half of it is
   * below.
   */
  #byChance(sources: number, nowMs: number): number {
    const squares = this.#weighted(nowMs).reduce((sum, [half, weight]) => sum + half.squares * weight, 0)
    return Math.sqrt((2 / Math.PI) * sources * squares) * A_SECOND
  }

  /** The halves, and what each of them counts for. */
  #weighted(nowMs: number): readonly (readonly [Half, number])[] {
    this.#halves.turn(nowMs)
    const { now, before } = this.#halves
    const gone = this.#halves.goneAt(nowMs)
    // A half that has just begun says little: what it has not seen yet stands in the one before, if there was one.
    const weight = before.rows.size > 0 ? 1 : 1 / Math.max(LEAST_GONE, gone)
    return [
      [now, weight],
      [before, 1 - gone],
    ]
  }
}

const A_SECOND = 1_000 / HALF_MS
const NOBODY = { heavy: [], hot: null } as const
