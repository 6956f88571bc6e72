import { BROKER_CPU, RATE, WORKER_CPU } from '../compare/figures.ts'
import type { Spread } from '../compare/statistics.ts'
import { ratioOf, type ScenarioResult, spreadOfFigure } from './result.ts'

/** What a ratio has to be. */
export interface Wanted {
  readonly kind: 'at least' | 'at most'
  readonly bar: number
  readonly goal?: number
}

/** A figure of one subject by that of another, or by itself, and what it has to be. */
export interface Ratio {
  readonly figure: string
  readonly subject: string
  /** Absent for a figure by itself. */
  readonly by?: string
  readonly ratio: Spread
  /** A peer does more of it a second. */
  readonly isWon?: boolean
  readonly wanted?: Wanted
}

export type Verdict = 'goal' | 'met' | 'missed'

/** By the median. @returns `undefined` where nothing is wanted */
export function verdictOf({ ratio, wanted }: Ratio): Verdict | undefined {
  if (wanted === undefined) return undefined
  const reaches = (limit: number): boolean =>
    wanted.kind === 'at least' ? ratio.median >= limit : ratio.median <= limit
  if (wanted.goal !== undefined && reaches(wanted.goal)) return 'goal'
  return reaches(wanted.bar) ? 'met' : 'missed'
}

/** The ratio of two subjects. @returns none where no round has both */
export function ratio(
  { runs }: Pick<ScenarioResult, 'runs'>,
  figure: string,
  [subject, by]: readonly [string, string],
  wanted?: Wanted,
): Ratio[] {
  const found = ratioOf(runs, figure, subject, by)
  return found === undefined ? [] : [{ figure, subject, by, ratio: found, ...(wanted && { wanted }) }]
}

/** A figure by itself. @returns none where no round has it */
export function limit(
  { runs }: Pick<ScenarioResult, 'runs'>,
  figure: string,
  subject: string,
  wanted: Wanted,
): Ratio[] {
  const found = spreadOfFigure(runs, subject, figure)
  return found === undefined ? [] : [{ figure, subject, ratio: found, wanted }]
}

const PELTON = 'pelton'
const FLOOR = 'floor'

const RATE_BARS: Readonly<Record<string, Wanted>> = {
  [FLOOR]: { kind: 'at least', bar: 0.6, goal: 0.8 },
  'afternoon-256': { kind: 'at least', bar: 4, goal: 6 },
}
const BEST_QUEUE: Wanted = { kind: 'at least', bar: 3.5, goal: 5 }

/** Pelton beside each contestant. Nothing is wanted of it where each write is synced to three disks. */
export function peerRatios(result: ScenarioResult): Ratio[] {
  const { runs, subjects, told } = result
  const names = subjects.map(({ name }) => name)
  const queue = fastest(
    runs,
    names.filter((name) => name.startsWith('bullmq')),
  )
  const hasBars = told.profile === 'process'
  const rates = { ...RATE_BARS, ...(queue !== undefined && { [queue]: BEST_QUEUE }) }
  const peers = new Set(subjects.flatMap(({ name, isPeer }) => (isPeer === true ? [name] : [])))
  const beside = (figure: string, by: string, wanted: Wanted | undefined): Ratio[] =>
    ratio(result, figure, [PELTON, by], hasBars ? wanted : undefined)
  return [
    ...names
      .filter((name) => name !== PELTON)
      .flatMap((by) => beside(RATE, by, rates[by]))
      .map((each) => ({ ...each, isWon: peers.has(each.by ?? '') && each.ratio.median < 1 })),
    ...beside(WORKER_CPU, FLOOR, { kind: 'at most', bar: 2.5, goal: 1.5 }),
    ...beside(BROKER_CPU, FLOOR, { kind: 'at most', bar: 1.25 }),
  ]
}

function fastest(runs: ScenarioResult['runs'], names: readonly string[]): string | undefined {
  const rate = (name: string): number => spreadOfFigure(runs, name, RATE)?.median ?? 0
  return [...names].sort((a, b) => rate(b) - rate(a))[0]
}
