import type { PoolFlow } from './heard-flow.ts'
import { maxMinShare } from './shares.ts'
import { SourceRates } from './source-rates.ts'
import { TwoSpans } from './two-spans.ts'

/** A source that asks for more than its share, or for so little that it is its share whatever others ask for. */
export type Weight = 'heavy' | 'usual' | 'light'

/** How long what was found out holds, milliseconds. */
const WEIGHED_MS = 100
/** Who asks for its share has hardly ever so many times as much in an average. */
const MORE = 1.5
/** What an average is taken over, seconds. */
const AVERAGED_S = 0.75
/** So many standard deviations beyond what it may send a source is: of a tenth of a second little, and much; of an average too much. */
const DEVIATIONS = { little: 2, much: 4, tooMuch: 3 }

interface Weighed {
  readonly heavy: ReadonlySet<string>
  /** Those that ask for more than each could have if all asked for as much. */
  readonly over: ReadonlySet<string>
  /** Those that ask for more than their share of what is this door's, however it varies by chance. */
  readonly beyond: ReadonlySet<string>
  /** Rows that a light one may send within {@link WEIGHED_MS}. */
  readonly burstRows: number
  /** Whether others have no more than their share. */
  readonly areOthers: boolean
  readonly atMs: number
}

const NONE: ReadonlySet<string> = new Set()
const NOT_WEIGHED: Weighed = {
  heavy: NONE,
  over: NONE,
  beyond: NONE,
  burstRows: 0,
  areOthers: false,
  atMs: Number.NEGATIVE_INFINITY,
}

/**
 * How much each source asks for at a door, beside its max-min share of what is carried. Workers see the events of all doors, and
 * name those beyond it. A door sees what is refused, too, but only its own: by that alone it goes where they name nobody, or where
 * it is more than a share of all. Where somebody asks for more, it spares who asks for no more than an equal part of what is this
 * door's: that is known before it is who the hot one is, which takes as long as an average.
 */
export class SourceWeights {
  readonly #rates = new SourceRates()
  /** Rows that came lately. */
  readonly #lately = new TwoSpans(WEIGHED_MS, () => new Map<string, number>())
  #weighed = NOT_WEIGHED

  /** Rows of a source came. @param source its digest; `nowMs` of a clock that never goes back */
  came(source: string, rows: number, nowMs: number): void {
    this.#rates.came(source, rows, nowMs)
    this.#lately.turn(nowMs)
    const { now } = this.#lately
    const counted = this.#rates.countedAs(source)
    now.set(counted, (now.get(counted) ?? 0) + rows)
  }

  /** @param part of what is carried that is this door's, above 0 and up to 1 */
  weightOf(source: string, pool: PoolFlow, part: number, nowMs: number): Weight {
    const { heavy: named } = pool
    if (named.has(source)) return 'heavy'
    if (nowMs - this.#weighed.atMs >= WEIGHED_MS) this.#weigh(pool, part, nowMs)
    const { heavy, beyond } = this.#weighed
    const counted = this.#rates.countedAs(source)
    if (heavy.has(counted)) return 'heavy'
    // Of those whom doors refuse workers cannot know that they ask for too much.
    const isLight = named.size > 0 ? !beyond.has(counted) : beyond.size > 0 && this.#isWithinPart(counted)
    return isLight ? 'light' : 'usual'
  }

  /** Whether some had no more than their share when it was looked last. */
  get areOthers(): boolean {
    return this.#weighed.areOthers
  }

  #isWithinPart(counted: string): boolean {
    const { over, burstRows } = this.#weighed
    return !over.has(counted) && this.#latelyOf(counted) <= burstRows
  }

  /** Rows of a source in a tenth of a second: by an average who has just begun asks for little. */
  #latelyOf(counted: string): number {
    const { now, before } = this.#lately
    return Math.max(now.get(counted) ?? 0, before.get(counted) ?? 0)
  }

  #weigh({ heavy: named, drainRows, rowsPerEvent }: PoolFlow, part: number, nowMs: number): void {
    this.#lately.turn(nowMs)
    const rates = this.#rates.rates(nowMs)
    const demands = [...rates.values()]
    const ofDoor = part * drainRows
    const alike = ofDoor / Math.max(1, rates.size)
    const share = maxMinShare(demands, ofDoor)
    const most = MORE * share
    const certain = Math.max(
      most,
      byChance(share * AVERAGED_S, rowsPerEvent, DEVIATIONS.tooMuch) / AVERAGED_S,
    )
    // One event is always little.
    const alikeRows = Math.max(rowsPerEvent, (alike * WEIGHED_MS) / 1_000)
    const burstRows = byChance(alikeRows, rowsPerEvent, DEVIATIONS.little)
    const muchRows = byChance(alikeRows, rowsPerEvent, DEVIATIONS.much)
    const over = those(rates, (rate) => rate > alike)
    const beyond = those(rates, (rate, source) => rate > certain || this.#latelyOf(source) > muchRows)
    const ofAll = named.size > 0 ? maxMinShare(demands, drainRows) : most
    const heavy = those(rates, (rate) => rate > ofAll)
    this.#weighed = { heavy, over, beyond, burstRows, areOthers: heavy.size < rates.size, atMs: nowMs }
  }
}

/** Rows that come instead of so many on average, so many standard deviations more: events are a Poisson process. */
function byChance(rows: number, rowsPerEvent: number, deviations: number): number {
  return rows + deviations * Math.sqrt(rows * rowsPerEvent)
}

function those(
  rates: ReadonlyMap<string, number>,
  isMeant: (rate: number, source: string) => boolean,
): ReadonlySet<string> {
  const meant = new Set<string>()
  for (const [source, rate] of rates) if (isMeant(rate, source)) meant.add(source)
  return meant
}
