import { RATE, type Run, type SideName } from './figures.ts'
import { BUSY, type Machine } from './machine.ts'
import type { Interval, Spread } from './statistics.ts'
import type { Measure, Row, Summary, Verdict } from './summary.ts'

/** All that `--json` prints. */
export interface Report {
  readonly machine: Machine
  /** What each side is, for people. */
  readonly sides: Readonly<Record<SideName, string>>
  /** Events a second of the open loop. */
  readonly perSecond: number | undefined
  readonly summaries: readonly Summary[]
  /** Where one was asked for. */
  readonly verdict: Verdict | undefined
  readonly runs: readonly Run[]
}

const TITLES = { drain: 'Drain of a backlog', open: 'Open loop' } as const

/** The comparison for people, a line each. */
export function reportLines({ machine, sides, perSecond, summaries, verdict, runs }: Report): string[] {
  return [
    ...machineLines(machine),
    `base: ${sides.base}`,
    `head: ${sides.head}`,
    ...summaries.flatMap((summary) => [
      '',
      titleOf(summary, perSecond),
      ...tableLines(summary),
      ...voidLines(runs.filter(({ phase }) => phase === summary.phase)),
    ]),
    ...(verdict === undefined ? [] : ['', verdictLine(verdict)]),
  ]
}

export function machineLines(machine: Machine): string[] {
  const { processor, cores, memoryGiB, system, node, natsServer, pinnedTo, load, busy } = machine
  const pinned = pinnedTo === undefined ? '' : `, pinned to ${pinnedTo}`
  const facts = `machine: ${processor}, ${cores} cores${pinned}, ${memoryGiB} GiB, ${system}, node ${node}, nats-server ${natsServer}`
  const before = `before: load ${load.map((each) => each.toFixed(2)).join(' ')}, ${percent(busy)} of all cores busy`
  const warning = 'WARNING: this machine does other work: rates are not its own, and intervals will be wide'
  return [facts, before, ...(busy > BUSY ? [warning] : [])]
}

function titleOf({ phase, rounds, counted }: Summary, perSecond: number | undefined): string {
  const rate = phase === 'open' && perSecond !== undefined ? ` at ${figureText(perSecond)} events/s` : ''
  const left = counted === rounds ? '' : `, ${rounds - counted} of them void`
  return `${TITLES[phase]}${rate}: ${rounds} ${rounds === 1 ? 'round' : 'rounds'}${left}; median (lowest … highest)`
}

function tableLines({ rows }: Summary): string[] {
  if (rows.length === 0) return ['no round counts']
  const coverage = rows.find(({ comparison }) => comparison !== undefined)?.comparison?.interval.coverage ?? 0
  const cells = [
    ['', 'base', 'head', 'head ÷ base', `${percent(coverage)} interval`],
    ...rows.map((row) => cellsOf(row)),
  ]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)))
  return cells.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function cellsOf({ figure, base, head, comparison }: Row): string[] {
  return [
    figure,
    spread(base, figureText),
    spread(head, figureText),
    ...(comparison === undefined ? [] : [spread(comparison.ratio, ratioText), between(comparison.interval)]),
  ]
}

function spread(values: Spread | undefined, text: (value: number) => string): string {
  if (values === undefined) return '–'
  const { min, median, max } = values
  return `${text(median)} (${text(min)} … ${text(max)})`
}

function between({ low, high }: Interval): string {
  return `${ratioText(low)} … ${ratioText(high)}`
}

function voidLines(runs: readonly Run[]): string[] {
  return runs.flatMap(({ round, side, void: reason }) =>
    reason === undefined ? [] : [`void: round ${round + 1}, ${side}: ${reason}`],
  )
}

const MEASURES: Readonly<Record<Measure, string>> = {
  rate: `${RATE} of a drain`,
  cpu: 'events for each second of processor time of the worker, in a drain',
}

export function verdictLine({ kind, by, wanted, median, interval }: Verdict): string {
  const shown = `${MEASURES[by]}, head ÷ base: ${ratioText(median)}, ${percent(interval.coverage)} interval ${between(interval)}`
  return `${shown}: ${kind === 'unclear' ? `cannot tell whether at least ${wanted}` : `${kind} ${wanted}`}`
}

function figureText(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)
}

function ratioText(value: number): string {
  return value.toFixed(3)
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
