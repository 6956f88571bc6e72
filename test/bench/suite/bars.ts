import { BROKER_CPU, RATE, WORKER_CPU } from '../compare/figures.ts'
import type { Spread } from '../compare/statistics.ts'
import { ratioOf, type ScenarioResult, spreadOfFigure } from './result.ts'

/** What a ratio has to be. */
export interface Wanted {
  readonly kind: 'at least' | 'at most'
  readonly bar: number
  readonly goal?: number
}

/** A ratio of two subjects, and whether it is what it has to be. */
export interface Ratio {
  readonly figure: string
  readonly subject: string
  readonly by: string
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

const PELTON = 'pelton'
const FLOOR = 'floor'

const RATE_BARS: Readonly<Record<string, Wanted>> = {
  [FLOOR]: { kind: 'at least', bar: 0.6, goal: 0.8 },
  'afternoon-256': { kind: 'at least', bar: 4, goal: 6 },
}
const BEST_QUEUE: Wanted = { kind: 'at least', bar: 3.5, goal: 5 }

/** Pelton beside each contestant. Nothing is wanted of it where each write is synced to three disks. */
export function peerRatios({ runs, subjects, told }: ScenarioResult): Ratio[] {
  const queue = fastest(
    runs,
    subjects.map(({ name }) => name).filter((name) => name.startsWith('bullmq')),
  )
  const bars = { ...RATE_BARS, ...(queue !== undefined && { [queue]: BEST_QUEUE }) }
  const hasBars = told.profile === 'process'
  const peers = new Set(subjects.filter(({ isPeer }) => isPeer).map(({ name }) => name))
  const others = subjects.map(({ name }) => name).filter((name) => name !== PELTON)
  const ratio = (figure: string, by: string, wanted: Wanted | undefined): Ratio[] => {
    const found = ratioOf(runs, figure, PELTON, by)
    if (found === undefined) return []
    const isWon = figure === RATE && peers.has(by) && found.median < 1
    return [
      {
        figure,
        subject: PELTON,
        by,
        ratio: found,
        isWon,
        ...(hasBars && wanted !== undefined && { wanted }),
      },
    ]
  }
  return [
    ...others.flatMap((by) => ratio(RATE, by, bars[by])),
    ...ratio(WORKER_CPU, FLOOR, { kind: 'at most', bar: 2.5, goal: 1.5 }),
    ...ratio(BROKER_CPU, FLOOR, { kind: 'at most', bar: 1.25 }),
  ]
}

function fastest(runs: ScenarioResult['runs'], names: readonly string[]): string | undefined {
  const rate = (name: string): number => spreadOfFigure(runs, name, RATE)?.median ?? 0
  return [...names].sort((a, b) => rate(b) - rate(a))[0]
}
