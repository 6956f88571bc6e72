import { readFile } from 'node:fs/promises'
import type { Machine } from '../compare/machine.ts'
import { UsageError } from '../compare/options.ts'
import type { BenchReport } from './report.ts'
import { namesOf, type ScenarioResult, spreadOfFigure } from './result.ts'
import { plainLines, spreadText } from './table.ts'

/** @throws UsageError for a file that `--json` has not written */
export async function readSaved(path: string): Promise<BenchReport> {
  try {
    const saved = JSON.parse(await readFile(path, 'utf8')) as BenchReport
    if (saved.kind === 'pelton-bench') return saved
  } catch (cause) {
    throw new UsageError(`${path} cannot be read`, { cause })
  }
  throw new UsageError(`${path} holds no figures of npm run bench -- --json`)
}

/** Less than this is not called a change, whatever the ranges say. */
const SMALLEST_CHANGE = 0.02

/** What has changed since some figures were saved, for people: settings first, then each figure whose ranges part. */
export function changeLines(then: BenchReport, now: BenchReport): string[] {
  const changes = now.results.flatMap((result) => {
    const before = then.results.find(({ title }) => title === result.title)
    return before === undefined ? [] : changesOf(before, result)
  })
  return [
    `against ${then.checkout}, ${then.at}`,
    ...conditionLines(then, now),
    ...(changes.length === 0
      ? ['no figure left the range it had']
      : plainLines([['changed', 'then', 'now', 'now ÷ then'], ...changes])),
  ]
}

/** A row for each figure of which no run now is like any run then. */
function changesOf(then: ScenarioResult, now: ScenarioResult): string[][] {
  return now.subjects.flatMap(({ name }) =>
    namesOf(now.runs, 'figures').flatMap((figure) => {
      const before = spreadOfFigure(then.runs, name, figure)
      const after = spreadOfFigure(now.runs, name, figure)
      if (before === undefined || after === undefined) return []
      const ratio = after.median / before.median
      const isApart = after.min > before.max || after.max < before.min
      if (!isApart || Math.abs(ratio - 1) < SMALLEST_CHANGE) return []
      return [[`${name}: ${figure}`, spreadText(before), spreadText(after), ratio.toFixed(3)]]
    }),
  )
}

/** What makes two reports hard to compare. */
function conditionLines(then: BenchReport, now: BenchReport): string[] {
  const facts: readonly (keyof Machine)[] = ['processor', 'cores', 'node', 'natsServer', 'pinnedTo']
  const machine = facts.flatMap((fact) => different(fact, then.machine[fact], now.machine[fact]))
  const versions = Object.keys(now.versions).flatMap((name) =>
    different(name, then.versions[name], now.versions[name]),
  )
  const told = now.results.flatMap((result) => {
    const before = then.results.find(({ title }) => title === result.title)
    if (before === undefined) return [`${result.title}: not measured then`]
    const settings = Object.keys(result.told).flatMap((name) =>
      different(`${result.title}: ${name}`, before.told[name], result.told[name]),
    )
    const subjects = result.subjects.flatMap(({ name, settings: after }) => {
      const was = before.subjects.find((subject) => subject.name === name)
      return was === undefined ? [`${name}: not measured then`] : different(name, was.settings, after)
    })
    return [...settings, ...subjects]
  })
  return [...machine, ...versions, ...told].map((text) => `differs: ${text}`)
}

function different(what: string, then: unknown, now: unknown): string[] {
  return String(then) === String(now) ? [] : [`${what}: ${then}, now ${now}`]
}
