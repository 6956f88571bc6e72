import { BROKER_CPU, BROKER_MEMORY, PEAK_MEMORY, RATE, WORKER_CPU } from '../compare/figures.ts'
import type { Machine } from '../compare/machine.ts'
import { machineLines } from '../compare/report.ts'
import { type Ratio, verdictOf } from './bars.ts'
import { namesOf, type ScenarioResult, spreadOfFigure } from './result.ts'
import { markdownLines, plainLines, spreadText, type Table } from './table.ts'

/** What `--json` writes, and `--against` reads. */
export interface BenchReport {
  readonly kind: 'pelton-bench'
  readonly machine: Machine
  /** Commit of this checkout, and whether there were changes. */
  readonly checkout: string
  /** RFC 3339. */
  readonly at: string
  /** Of the packages that many take part with. */
  readonly versions: Readonly<Record<string, string>>
  readonly results: readonly (ScenarioResult & { readonly ratios: readonly Ratio[] })[]
}

type Reported = BenchReport['results'][number]

/** For people, a line each. */
export function benchLines({ machine, checkout, versions, results }: BenchReport): string[] {
  return [
    ...machineLines(machine),
    `checkout: ${checkout}, ${versionsText(versions)}`,
    ...results.flatMap((result) => [
      '',
      headOf(result),
      ...plainLines(figureTable(result)),
      ...(result.ratios.length === 0 ? [] : ['', ...plainLines(ratioTable(result))]),
      ...remarks(result),
    ]),
  ]
}

/** The tables of one scenario for docs/benchmarks.md. */
export function benchMarkdown({ machine, checkout, versions, at, results }: BenchReport): string[] {
  const facts = [`Measured ${at.slice(0, 10)} at ${checkout}`, ...machineLines(machine).slice(0, 2)]
  return [
    `${[...facts, versionsText(versions)].join('; ')}.`,
    ...results.flatMap((result) => [
      '',
      headOf(result),
      '',
      ...markdownLines(figureTable(result)),
      ...(result.ratios.length === 0 ? [] : ['', ...markdownLines(ratioTable(result))]),
      '',
      ...remarks(result).map((line) => `- ${line}`),
    ]),
  ]
}

function versionsText(versions: BenchReport['versions']): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')
}

function headOf({ title, told }: ScenarioResult): string {
  const settings = Object.entries(told).map(([name, value]) => `${name} ${value}`)
  return `${title}: ${settings.join(', ')}; median (lowest … highest)`
}

/** What everybody has, in this order; then the rest, single threads, and what it was measured under. */
const FIRST = [RATE, WORKER_CPU, BROKER_CPU, PEAK_MEMORY, BROKER_MEMORY]

/** A row for each figure, a column for each subject. */
function figureTable({ subjects, runs }: ScenarioResult): Table {
  return [
    ['', ...subjects.map(({ name }) => name)],
    ...rowNames(runs).map((figure) => [
      figure,
      ...subjects.map(({ name }) => spreadText(spreadOfFigure(runs, name, figure))),
    ]),
  ]
}

function rowNames(runs: ScenarioResult['runs']): readonly string[] {
  const figures = namesOf(runs, 'figures')
  const isOfThread = (figure: string): boolean => figure.includes('worker.')
  const first = FIRST.filter((name) => figures.includes(name))
  const rest = figures.filter((name) => !first.includes(name))
  return [
    ...first,
    ...rest.filter((name) => !isOfThread(name)),
    ...rest.filter(isOfThread),
    ...namesOf(runs, 'conditions'),
  ]
}

function ratioTable({ ratios }: Reported): Table {
  return [
    ['ratio, of each round', 'median (lowest … highest)', 'bar', ''],
    ...ratios.map((ratio) => [
      `${ratio.figure}: ${ratio.subject}${ratio.by === undefined ? '' : ` ÷ ${ratio.by}`}`,
      spreadText(ratio.ratio, (value) => value.toFixed(2)),
      barText(ratio),
      verdictText(ratio),
    ]),
  ]
}

function barText({ wanted }: Ratio): string {
  if (wanted === undefined) return ''
  const goal = wanted.goal === undefined ? '' : `, goal ${wanted.goal}`
  return `${wanted.kind} ${wanted.bar}${goal}`
}

function verdictText(ratio: Ratio): string {
  const verdict = verdictOf(ratio) ?? ''
  const winner = ratio.isWon === true ? `${ratio.by} wins` : ''
  return [verdict, winner].filter((text) => text !== '').join(', ')
}

/** Who was measured how, who was not, and which runs do not count. */
function remarks({ subjects, absent, runs }: ScenarioResult): string[] {
  return [
    ...subjects.map(({ name, title, settings }) => `${name}: ${title}; ${settings}`),
    ...absent.map(({ name, reason }) => `${name} did not take part: ${reason}`),
    ...runs.flatMap(({ round, subject, void: reason }) =>
      reason === undefined ? [] : [`void: round ${round + 1}, ${subject}: ${reason}`],
    ),
  ]
}
