import { numberText, type Table } from '../bench/suite/table.ts'
import type { Panel } from '../plots/plot.ts'
import { type Account, SLICE_MS } from './measure/account.ts'
import { factsOf } from './measure/facts.ts'

/** A run, and what it is called. */
export interface Named {
  readonly shape: string
  readonly law: string
  readonly account: Account
}

const HEAD = [
  'shape',
  'law',
  'goodput',
  '`high` in time',
  'p50 ms',
  'p99 ms',
  'let in and lost',
  'runs too late',
  'refused by',
  'clients served',
  'normal after s',
]

/** A row for each run. */
export function tableOf(runs: readonly Named[]): Table {
  return [HEAD, ...runs.map(rowOf)]
}

function rowOf({ shape, law, account }: Named): readonly string[] {
  const { goodput, highInTime, lost } = factsOf(account)
  const { groups, wasted, refusedBy, clients, succeeded, recoverySeconds } = account
  const refused = Object.entries(refusedBy).map(
    ([limit, count]) => `${limit} ${percent(count / groups.all.sent)}`,
  )
  return [
    ...[shape, law, goodput.toFixed(2), percent(highInTime)],
    ...[groups.all.p50Ms, groups.all.p99Ms].map((ms) => (Number.isNaN(ms) ? '–' : numberText(ms))),
    ...[percent(lost), percent(wasted), refused.join(', ') || '–', percent(succeeded / clients)],
    recoverySeconds === undefined ? 'never' : String(recoverySeconds),
  ]
}

/** A run over time: what was sent, what came of it, how long that took, what waited. */
export function timePanels(title: string, { slices }: Account): readonly Panel[] {
  const perSecond = 1_000 / SLICE_MS
  const over = (read: (slice: (typeof slices)[number]) => number) =>
    slices.map((slice, at) => [(at * SLICE_MS) / 1_000, read(slice)] as const)
  return [
    {
      ...{ title, x: 'seconds', y: 'events a second' },
      series: [
        { name: 'offered', points: over(({ sent }) => sent * perSecond), isArea: true },
        { name: 'refused', points: over(({ refusals }) => refusals * perSecond) },
        { name: 'in time', points: over(({ inTime }) => inTime * perSecond) },
      ],
    },
    {
      ...{ title: `${title}: p99, and what waits`, x: 'seconds', y: 'ms' },
      series: [
        { name: 'p99 of predictions', points: over(({ p99Ms }) => p99Ms) },
        { name: 'backlog', points: over(({ backlogSeconds }) => 1_000 * backlogSeconds) },
      ],
    },
  ]
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`
}
