import { type Figures, type Phase, RATE, type Run, type SideName, WORKER_CPU } from './figures.ts'
import { type Interval, medianInterval, type Spread, spreadOf } from './statistics.ts'

/** A figure of both sides over all rounds that count. */
export interface Row {
  readonly figure: string
  readonly base: Spread | undefined
  readonly head: Spread | undefined
  /** Absent for conditions, and where no round has a figure of both sides that can be divided. */
  readonly comparison?: Comparison
}

/** Head ÷ base of each round: what the machine does slowly hits both halves of a pair. */
export interface Comparison {
  readonly ratio: Spread
  /** Of the median of the ratio. */
  readonly interval: Interval
}

export interface Summary {
  readonly phase: Phase
  readonly rounds: number
  /** Rounds in which neither run is void. */
  readonly counted: number
  readonly rows: readonly Row[]
}

type Round = Readonly<Record<SideName, Run>>

/** What was measured, figure by figure in their order, then the conditions. */
export function summarise(phase: Phase, runs: readonly Run[]): Summary {
  const rounds = roundsOf(runs.filter((run) => run.phase === phase))
  const counted = rounds.filter(({ base, head }) => base.void === undefined && head.void === undefined)
  const rowsOf = (part: 'figures' | 'conditions'): Row[] => {
    const pairs = counted.map(({ base, head }) => ({ base: base[part], head: head[part] }))
    const names = new Set(pairs.flatMap(({ base, head }) => [...Object.keys(base), ...Object.keys(head)]))
    return [...names].map((name) => rowOf(name, pairs, part === 'figures'))
  }
  return {
    phase,
    rounds: rounds.length,
    counted: counted.length,
    rows: [...rowsOf('figures'), ...rowsOf('conditions')],
  }
}

function roundsOf(runs: readonly Run[]): Round[] {
  return runs.flatMap((base) => {
    const head = runs.find(({ side, round }) => side === 'head' && round === base.round)
    return base.side === 'base' && head !== undefined ? [{ base, head }] : []
  })
}

function rowOf(
  figure: string,
  pairs: readonly Readonly<Record<SideName, Figures>>[],
  isCompared: boolean,
): Row {
  const of = (side: SideName): number[] => pairs.flatMap((pair) => pair[side][figure] ?? [])
  const row = { figure, base: spreadOf(of('base')), head: spreadOf(of('head')) }
  const ratios = pairs
    .map(({ base, head }) => (head[figure] ?? Number.NaN) / (base[figure] ?? Number.NaN))
    .filter(Number.isFinite)
  const ratio = spreadOf(ratios)
  if (!isCompared || ratio === undefined) return row
  return { ...row, comparison: { ratio, interval: medianInterval(ratios) } }
}

/** What `--at-least` goes by: events a second of a drain, or events for each second of processor time of the worker. */
export type Measure = 'rate' | 'cpu'

export interface Verdict {
  /** `unclear`: the interval holds the wanted ratio, more rounds or a quieter machine may tell. */
  readonly kind: 'at least' | 'below' | 'unclear'
  readonly by: Measure
  readonly wanted: number
  /** Head ÷ base, where more is better by either measure. */
  readonly median: number
  readonly interval: Interval
}

/**
 * Whether head does at least so much of what base does, by the interval of the median ratio of the drains.
 *
 * @throws Error when there is nothing to judge by
 */
export function judge(summaries: readonly Summary[], by: Measure, wanted: number): Verdict {
  const rows = summaries.find(({ phase }) => phase === 'drain')?.rows
  const name = by === 'rate' ? RATE : WORKER_CPU
  const found = rows?.find(({ figure }) => figure === name)?.comparison
  if (found === undefined) throw new Error(`no drain has told ${name} of both sides`)
  const { median, interval } = by === 'rate' ? medianOf(found) : inverse(medianOf(found))
  const kind = interval.low >= wanted ? 'at least' : interval.high < wanted ? 'below' : 'unclear'
  return { kind, by, wanted, median, interval }
}

type Middle = Pick<Verdict, 'median' | 'interval'>

function medianOf({ ratio, interval }: Comparison): Middle {
  return { median: ratio.median, interval }
}

/** From what an event costs to how many events the same buys. */
function inverse({ median, interval: { low, high, coverage } }: Middle): Middle {
  return { median: 1 / median, interval: { low: 1 / high, high: 1 / low, coverage } }
}
