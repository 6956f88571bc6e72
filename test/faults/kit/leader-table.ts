import type { LeaderRun } from './leader-faults.ts'

/** The runs of one fault. */
export interface Recoveries {
  readonly fault: string
  readonly runs: readonly LeaderRun[]
  /** How long results stood still in each run, milliseconds. */
  readonly stillMs: readonly number[]
}

const HEADINGS = [
  'fault',
  'runs',
  'new leader answers after s',
  'next delivery after another s',
  'results stand still for s',
]

/** Medians of each fault, with the least and the most in brackets, as a Markdown table. */
export function leaderTable(recoveries: readonly Recoveries[]): string {
  const rows = recoveries.map(({ fault, runs, stillMs }) => [
    fault,
    String(runs.length),
    spread(runs.map(({ electedMs }) => electedMs)),
    spread(runs.map(({ resumedMs }) => resumedMs)),
    spread(stillMs),
  ])
  return [HEADINGS, ['---', ...HEADINGS.slice(1).map(() => '---:')], ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n')
}

/** `1.20 (0.90–3.10)`; without brackets where there is one value. */
function spread(all: readonly number[]): string {
  const sorted = [...all].sort((a, b) => a - b)
  const half = (sorted.length - 1) / 2
  const median = ((sorted[Math.floor(half)] ?? 0) + (sorted[Math.ceil(half)] ?? 0)) / 2
  const seconds = (ms: number | undefined): string => ((ms ?? 0) / 1_000).toFixed(2)
  return sorted.length < 2
    ? seconds(median)
    : `${seconds(median)} (${seconds(sorted[0])}–${seconds(sorted.at(-1))})`
}
