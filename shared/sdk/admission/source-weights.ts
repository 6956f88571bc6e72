import type { PoolFlow } from './heard-flow.ts'
import { maxMinShare } from './shares.ts'
import { SourceRates } from './source-rates.ts'

/** A source that asks for more than its share, or for so little that it is its share whatever others ask for. */
export type Weight = 'heavy' | 'usual' | 'light'

/** How long what was found out holds, milliseconds. */
const WEIGHED_MS = 100
/** What comes varies by chance: in that time a source may send so many times what it may on average, and this many rows at least. */
const BURST = 1.5
const LEAST_BURST_ROWS = 2

interface Weighed {
  readonly heavy: ReadonlySet<string>
  /** Those that ask for no more than each could have if all asked for as much; none where nobody asks for more. */
  readonly light: ReadonlySet<string>
  /** Those that ask for more than that, however it varies by chance. */
  readonly beyond: ReadonlySet<string>
  /** Rows that a light one may send until it is weighed again. */
  readonly burstRows: number
  /** Whether others have no more than their share. */
  readonly areOthers: boolean
  readonly atMs: number
}

const NONE: ReadonlySet<string> = new Set()
const NOT_WEIGHED: Weighed = {
  ...{
    heavy: NONE,
    light: NONE,
    beyond: NONE,
    burstRows: 0,
    areOthers: false,
    atMs: Number.NEGATIVE_INFINITY,
  },
}

/**
 * How much each source asks for at a door, beside its max-min share of what is carried. Workers see the events of all doors, and
 * name those beyond it. A door sees what is refused, too, but only its own: by that alone it is certain of who is beyond a share
 * of all, and of who asks for no more than an equal part of what is this door's. The latter is known before the hot one is: who
 * that is takes as long as an average.
 */
export class SourceWeights {
  readonly #rates = new SourceRates()
  /** Rows that came since it was weighed last. */
  readonly #since = new Map<string, number>()
  #weighed = NOT_WEIGHED

  /** Rows of a source came. @param source its digest; `nowMs` of a clock that never goes back */
  came(source: string, rows: number, nowMs: number): void {
    this.#rates.came(source, rows, nowMs)
    const counted = this.#rates.countedAs(source)
    this.#since.set(counted, this.#sinceOf(counted) + rows)
  }

  /** @param part of what is carried that is this door's, above 0 and up to 1 */
  weightOf(source: string, pool: PoolFlow, part: number, nowMs: number): Weight {
    const { heavy: named } = pool
    if (named.has(source)) return 'heavy'
    if (nowMs - this.#weighed.atMs >= WEIGHED_MS) this.#weigh(pool, part, nowMs)
    const { heavy, light, beyond, burstRows } = this.#weighed
    const counted = this.#rates.countedAs(source)
    if (heavy.has(counted)) return 'heavy'
    // Where workers name who asks for too much, all others are light but those that they cannot know of: doors refuse them.
    const isLight =
      named.size > 0 ? !beyond.has(counted) : light.has(counted) && this.#sinceOf(counted) <= burstRows
    return isLight ? 'light' : 'usual'
  }

  /** Whether some had no more than their share when it was looked last. */
  get areOthers(): boolean {
    return this.#weighed.areOthers
  }

  #sinceOf(counted: string): number {
    return this.#since.get(counted) ?? 0
  }

  #weigh({ heavy: named, drainRows }: PoolFlow, part: number, nowMs: number): void {
    const rates = this.#rates.rates(nowMs)
    const ofDoor = part * drainRows
    const share = maxMinShare([...rates.values()], named.size > 0 ? drainRows : BURST * ofDoor)
    const alike = ofDoor / Math.max(1, rates.size)
    const passedMs = Math.max(WEIGHED_MS, nowMs - this.#weighed.atMs)
    const [heavy, light, beyond] = [new Set<string>(), new Set<string>(), new Set<string>()]
    for (const [source, rate] of rates) {
      // By an average who has just begun asks for little.
      const latest = (1_000 * this.#sinceOf(source)) / passedMs
      if (rate > share) heavy.add(source)
      if (Math.max(rate, latest / BURST) <= alike) light.add(source)
      if (rate > BURST * alike) beyond.add(source)
    }
    const burstRows = Math.max(LEAST_BURST_ROWS, (BURST * alike * WEIGHED_MS) / 1_000)
    const areOthers = heavy.size < rates.size
    const spared = light.size < rates.size ? light : NONE
    this.#weighed = { heavy, light: spared, beyond, burstRows, areOthers, atMs: nowMs }
    this.#since.clear()
  }
}
