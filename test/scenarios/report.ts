import type { Machine } from '../bench/compare/machine.ts'
import { machineLines } from '../bench/compare/report.ts'
import { markdownLines, numberText, plainLines, type Table } from '../bench/suite/table.ts'
import type { Contestant } from './contestants/contestant.ts'
import { DEADLINE_MS, HIGH_SHARE, type Run } from './drive.ts'
import {
  BAR_NAMES,
  type Bar,
  barsBesideBackfill,
  barsBesideFailing,
  barsBesideHot,
  barsOf,
  isMet,
} from './measure/bars.ts'
import type { Measured } from './measure-contestant.ts'

/** All that `--json` prints. */
export interface ScenarioReport {
  readonly kind: 'pelton-scenarios'
  readonly machine: Machine
  /** RFC 3339. */
  readonly at: string
  readonly isQuick: boolean
  readonly model: string
  /** Of the shapes that were drawn at random. */
  readonly seed: number
  /** Milliseconds of a row on one thread, by the size of the batch. */
  readonly rowMs: Readonly<Record<string, number>>
  /** What everybody got alike, events a second. */
  readonly sharedPerSecond: number
  readonly contestants: readonly Measured[]
  readonly absent: readonly { readonly name: string; readonly reason: string }[]
}

/** Whether a run of Pelton's or of a peer's does not count. */
export function isVoid({ contestants }: Pick<ScenarioReport, 'contestants'>): boolean {
  return contestants.some(({ runs }) => runs.some((run) => run.void.length > 0))
}

/** For people, a line each. */
export function reportLines(report: ScenarioReport): string[] {
  return [
    ...machineLines(report.machine),
    ...factsOf(report),
    ...tablesOf(report).flatMap(({ title, table }) => ['', title, ...plainLines(table)]),
    '',
    ...remarks(report),
  ]
}

/** The tables of docs/overload.md. */
export function reportMarkdown(report: ScenarioReport): string[] {
  const [form, ...facts] = factsOf(report)
  return [
    `Measured ${report.at.slice(0, 16).replace('T', ' ')} UTC; ${[form, ...machineLines(report.machine), ...facts].join('; ')}.`,
    ...tablesOf(report).flatMap(({ title, table }) => ['', `**${title}**`, '', ...markdownLines(table)]),
    '',
    ...remarks(report).map((line) => `- ${line}`),
  ]
}

function factsOf({ isQuick, model, seed, rowMs, sharedPerSecond, contestants }: ScenarioReport): string[] {
  const costs = Object.entries(rowMs).map(([rows, ms]) => `${ms.toFixed(2)} ms a row in batches of ${rows}`)
  const isSound = !isVoid({ contestants })
  return [
    isQuick ? 'short form (`--quick`)' : 'full form',
    `model \`${model}\`: ${costs.join(', ')}`,
    `deadline ${DEADLINE_MS} ms, ${100 * HIGH_SHARE} % of the events in lane \`high\``,
    `the same load for all: ${numberText(sharedPerSecond)} a second`,
    `shapes drawn with \`--seed ${seed}\``,
    isSound ? 'every run counts' : '**some runs are void**, and their figures say nothing: see below',
  ]
}

function tablesOf({
  contestants,
}: ScenarioReport): readonly { readonly title: string; readonly table: Table }[] {
  const names = [...new Set(contestants.flatMap(({ runs }) => runs.map(({ name }) => name)))]
  return [
    { title: 'What each carries', table: capacityTable(contestants) },
    ...names.map((name) => ({ title: `Load: ${name}`, table: runTable(contestants, name) })),
    { title: 'What is promised beyond what is carried', table: barTable(contestants) },
    ...sourceTables(contestants),
  ]
}

/** Whether Pelton kept what it promises, wherever it protects itself. */
export function isEveryBarMet({ contestants }: Pick<ScenarioReport, 'contestants'>): boolean {
  const isWhole = contestants.every(({ runs }) => runs.every(({ alarm }) => alarm === undefined))
  return isWhole && heldRuns(contestants).every(({ bars }) => bars.every(isMet))
}

interface HeldRun {
  readonly name: string
  readonly run: Run
  readonly bars: readonly Bar[]
}

/** Producers that ask nobody before they publish have their refused work done in the worker: less is promised to them. */
const LEAST_PLAIN_GOODPUT = 0.6

/** Overloads of Pelton where it protects itself, with what is promised of them. */
function heldRuns(contestants: readonly Measured[]): readonly HeldRun[] {
  return contestants
    .filter(({ promises }) => promises !== undefined)
    .flatMap(({ name, promises, capacity, runs }) =>
      runs.slice(1).map((run) => ({ name, run, bars: barsOfRun(run, capacity.perSecond, promises) })),
    )
}

function barsOfRun(run: Run, capacity: number, promises: Contestant['promises']): readonly Bar[] {
  const overload = { ...run, capacity }
  const { other, hotFails, backfilled } = run
  if (other !== undefined) return hotFails ? barsBesideFailing(other) : barsBesideHot(overload, other)
  if (backfilled !== undefined) return barsBesideBackfill(overload, backfilled)
  return promises === 'plain' ? barsOf(overload, LEAST_PLAIN_GOODPUT).slice(0, 1) : barsOf(overload)
}

function barTable(contestants: readonly Measured[]): Table {
  const promised = ['goodput', '`high` in time', 'run too late', 'normal after s']
  const head = [
    '',
    'load',
    ...promised,
    'other source refused',
    'its p99 ÷ alone',
    'no prediction of a backfill',
  ]
  return [
    head,
    ...heldRuns(contestants).map(({ name, run, bars }) => [
      ...[name, run.name],
      ...BAR_NAMES.map((wanted) => barText(bars.find((bar) => bar.name === wanted))),
    ]),
  ]
}

function barText(bar: Bar | undefined): string {
  if (bar === undefined) return ''
  const { value, kind, bar: wanted } = bar
  const shown = Number.isFinite(value) ? String(Number(value.toPrecision(4))) : '–'
  return isMet(bar) ? shown : `**${shown}** (${kind === 'least' ? '≥' : '≤'} ${wanted})`
}

/** What a source meets that does not change what it sends, when another one becomes hot. */
function sourceTables(
  contestants: readonly Measured[],
): readonly { readonly title: string; readonly table: Table }[] {
  const rows = contestants.flatMap(({ name, runs }) =>
    runs.flatMap(({ name: load, other }) => {
      if (other === undefined) return []
      const cells = [other.alone, other.beside].map((each) => [
        ...[each.p50Ms, each.p99Ms].map(numberText),
        percent(each.inTime, each.offered),
        percent(each.refusals, each.offered),
      ])
      return [[name, load, ...cells.flat()]]
    }),
  )
  if (rows.length === 0) return []
  const head = ['p50 ms', 'p99 ms', 'in time', 'refused']
  const both = ['alone', 'beside'].flatMap((when) => head.map((each) => `${each}, ${when}`))
  return [{ title: 'The other source, alone and beside a hot one', table: [['', 'load', ...both], ...rows] }]
}

function capacityTable(contestants: readonly Measured[]): Table {
  const head = ['', 'carries, events/s', 'settings', 'cores at that load']
  return [
    head,
    ...contestants.map(({ name, capacity, runs }) => {
      const [own] = runs
      return [
        name,
        numberText(capacity.perSecond),
        capacity.settings,
        own === undefined ? '' : coresText(own),
      ]
    }),
  ]
}

function coresText({ cpu: { cores, inferenceCores } }: Run): string {
  const each = Object.entries(cores).map(([role, share]) => `${role} ${share.toFixed(2)}`)
  const inference = inferenceCores === undefined ? [] : [`its inference thread ${inferenceCores.toFixed(2)}`]
  return [...each, ...inference].join(', ')
}

const HEAD = [
  '',
  'offered/s',
  'in time/s',
  'of its capacity',
  '`high` in time',
  'p50 ms',
  'p99 ms',
  'predictions',
  'dead letters',
  'refusals',
  'in doubt',
  'normal after s',
  'peak MiB',
  'descriptors',
  'generator late p99 ms',
  'others',
  'void',
]

function runTable(contestants: readonly Measured[], load: string): Table {
  return [
    HEAD,
    ...contestants.flatMap(({ name, capacity, runs }) =>
      runs.filter((run) => run.name === load).map((run) => [name, ...cellsOf(run, capacity.perSecond)]),
    ),
  ]
}

function cellsOf(run: Run, capacity: number): string[] {
  const {
    account: { all, high },
  } = run
  return [
    numberText(run.offeredPerSecond),
    numberText(run.goodputPerSecond),
    (run.goodputPerSecond / capacity).toFixed(2),
    percent(high.inTime, high.offered),
    ...[all.p50Ms, all.p99Ms].map((ms) => (Number.isNaN(ms) ? '–' : numberText(ms))),
    ...[all.predictions, all.deadLetters, all.refusals, all.inDoubt].map((count) =>
      percent(count, all.offered),
    ),
    run.recoveredAfterSeconds === undefined ? '–' : String(run.recoveredAfterSeconds),
    numberText(run.peakMiB),
    String(run.descriptors),
    numberText(run.punctuality.lateMs.p99),
    percent(run.cpu.others, 1),
    run.void.length === 0 ? '' : 'void',
  ]
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`
}

function remarks({ contestants, absent }: ScenarioReport): string[] {
  return [
    ...contestants.map(({ name, title, tried }) => `${name}: ${title}${triedText(tried)}`),
    ...absent.map(({ name, reason }) => `${name} did not take part: ${reason}`),
    ...contestants.flatMap(({ name, runs }) =>
      runs.flatMap((run) => run.void.map((reason) => `void: ${name}, ${run.name}: ${reason}`)),
    ),
    ...contestants.flatMap(({ name, runs }) =>
      runs.flatMap(({ name: load, alarm }) =>
        alarm === undefined ? [] : [`not all is accounted for: ${name}, ${load}: ${alarm}`],
      ),
    ),
    ...contestants.flatMap(({ name, runs }) => runs.flatMap((run) => saidText(name, run))),
    ...contestants.flatMap(({ name, runs }) => runs.flatMap((run) => backfillText(name, run))),
  ]
}

function triedText(tried: Measured['tried']): string {
  if (tried.length < 2) return ''
  const each = tried.map(
    ({ settings, perSecond }) => `${settings}: ${perSecond?.toFixed(0) ?? 'nothing'} a second`,
  )
  return `. Tried: ${each.join('; ')}`
}

function backfillText(name: string, { name: load, backfilled }: Run): string[] {
  if (backfilled === undefined) return []
  const { events, replayed, predictions, deadLetters, seconds } = backfilled
  const ended = `${predictions} predictions and ${deadLetters} dead letters after ${seconds.toFixed(0)} s`
  return [`${name}, ${load}: ${events} events without a deadline and ${replayed} replayed: ${ended}`]
}

/** What was answered beside predictions, most often first. */
function saidText(name: string, { name: load, said }: Run): string[] {
  const sorted = Object.entries(said).sort(([, a], [, b]) => b - a)
  if (sorted.length === 0) return []
  return [`${name}, ${load}, whole load: ${sorted.map(([words, count]) => `${words} (${count})`).join(', ')}`]
}
