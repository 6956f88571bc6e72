import type { PoolFlow } from './heard-flow.ts'
import { heavySources, SourceRates } from './source-rates.ts'

/** A source that asks for more than its share, or for no more while others do. */
export type Weight = 'heavy' | 'usual' | 'light'

/** How long what was found out holds, milliseconds. */
const WEIGHED_MS = 100

interface Weighed {
  readonly heavy: ReadonlySet<string>
  /** Those that ask for more than their share of this door's part of what is carried. */
  readonly beyondPart: ReadonlySet<string>
  /** Whether others have no more than their share. */
  readonly areOthers: boolean
  readonly atMs: number
}

const NONE: ReadonlySet<string> = new Set()
const NOT_WEIGHED: Weighed = {
  ...{ heavy: NONE, beyondPart: NONE, areOthers: false, atMs: Number.NEGATIVE_INFINITY },
}

/**
 * How much each source asks for at a door, beside its max-min share of what is carried. Workers see the events of all doors, and
 * name those beyond it. A door sees what is refused, too, but only its own: by that alone it goes where they name nobody, or
 * where it is more than a share of all. By its part of what is carried it tells who is light.
 */
export class SourceWeights {
  readonly #rates = new SourceRates()
  #weighed = NOT_WEIGHED

  /** Rows of a source came. @param source its digest; `nowMs` of a clock that never goes back */
  came(source: string, rows: number, nowMs: number): void {
    this.#rates.came(source, rows, nowMs)
  }

  /** @param part of what is carried that is this door's, above 0 and up to 1 */
  weightOf(source: string, pool: PoolFlow, part: number, nowMs: number): Weight {
    const { heavy: named } = pool
    if (named.has(source)) return 'heavy'
    if (nowMs - this.#weighed.atMs >= WEIGHED_MS) this.#weigh(pool, part, nowMs)
    const { heavy, beyondPart } = this.#weighed
    const counted = this.#rates.countedAs(source)
    if (heavy.has(counted)) return 'heavy'
    return named.size > 0 && !beyondPart.has(counted) ? 'light' : 'usual'
  }

  /** Whether some had no more than their share when it was looked last. */
  get areOthers(): boolean {
    return this.#weighed.areOthers
  }

  #weigh({ heavy: named, drainRows }: PoolFlow, part: number, nowMs: number): void {
    const rates = this.#rates.rates(nowMs)
    const beyondPart = heavySources(rates, part * drainRows)
    const heavy = named.size > 0 ? heavySources(rates, drainRows) : beyondPart
    this.#weighed = { heavy, beyondPart, areOthers: heavy.size < rates.size, atMs: nowMs }
  }
}
