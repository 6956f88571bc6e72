import type { Machine } from '../bench/compare/machine.ts'
import { machineLines } from '../bench/compare/report.ts'
import { markdownLines, numberText, plainLines, type Table } from '../bench/suite/table.ts'
import { DEADLINE_MS, HIGH_SHARE, type Run } from './drive.ts'
import type { Measured } from './measure-contestant.ts'

/** All that `--json` prints. */
export interface ScenarioReport {
  readonly kind: 'pelton-scenarios'
  readonly machine: Machine
  /** RFC 3339. */
  readonly at: string
  readonly isQuick: boolean
  readonly model: string
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

function factsOf({ isQuick, model, rowMs, sharedPerSecond, contestants }: ScenarioReport): string[] {
  const costs = Object.entries(rowMs).map(([rows, ms]) => `${ms.toFixed(2)} ms a row in batches of ${rows}`)
  const isSound = !isVoid({ contestants })
  return [
    isQuick ? 'short form (`--quick`)' : 'full form',
    `model \`${model}\`: ${costs.join(', ')}`,
    `deadline ${DEADLINE_MS} ms, ${100 * HIGH_SHARE} % of the events in lane \`high\``,
    `the same load for all: ${numberText(sharedPerSecond)} a second`,
    isSound ? 'every run counts' : '**some runs are void**, and their figures say nothing: see below',
  ]
}

function tablesOf({
  contestants,
}: ScenarioReport): readonly { readonly title: string; readonly table: Table }[] {
  const names = contestants[0]?.runs.map(({ name }) => name) ?? []
  return [
    { title: 'What each carries', table: capacityTable(contestants) },
    ...names.map((name, at) => ({ title: `Load: ${name}`, table: runTable(contestants, at) })),
  ]
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

function runTable(contestants: readonly Measured[], at: number): Table {
  return [
    HEAD,
    ...contestants.map(({ name, capacity, runs }) => {
      const run = runs[at]
      return run === undefined ? [name] : [name, ...cellsOf(run, capacity.perSecond)]
    }),
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
    ...contestants.flatMap(({ name, runs }) => runs.flatMap((run) => saidText(name, run))),
  ]
}

function triedText(tried: Measured['tried']): string {
  if (tried.length < 2) return ''
  const each = tried.map(
    ({ settings, perSecond }) => `${settings}: ${perSecond?.toFixed(0) ?? 'nothing'} a second`,
  )
  return `. Tried: ${each.join('; ')}`
}

/** What was answered beside predictions, most often first. */
function saidText(name: string, { name: load, said }: Run): string[] {
  const sorted = Object.entries(said).sort(([, a], [, b]) => b - a)
  if (sorted.length === 0) return []
  return [`${name}, ${load}, whole load: ${sorted.map(([words, count]) => `${words} (${count})`).join(', ')}`]
}
