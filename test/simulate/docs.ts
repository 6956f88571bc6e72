import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HERE } from '../bench/compare/checkout.ts'
import { withTables } from '../bench/suite/page.ts'
import { markdownLines, type Table } from '../bench/suite/table.ts'
import { plotSvg } from '../plots/plot.ts'
import { LAWS, type LawName } from './doors/laws.ts'
import { SHAPES, type Shape } from './load/shapes.ts'
import type { Facts } from './measure/facts.ts'
import { type Named, tableOf, timePanels } from './report.ts'
import { simulate } from './run.ts'
import { setupOf } from './setup.ts'
import { panelsOf, runSweep, SWEEP_SEEDS, type Swept } from './sweeps/sweep.ts'
import { FIGURES } from './sweeps/sweeps.ts'

const PAGE = join(HERE, 'docs/overload.md')
export const PLOTS = join(HERE, 'docs/overload')

/** A run before and after, over time. */
const OVER_TIME = [
  { file: 'step', title: 'Three times what is carried', shape: 'step' },
  { file: 'storm', title: 'Clients that send again at once', shape: 'retry-storm' },
] as const

/** A file, and what it holds. */
export interface Plot {
  readonly file: string
  readonly svg: string
}

/** The plots of runs over time: with everything let in, and with Pelton's doors. */
export function timePlots(): readonly Plot[] {
  return OVER_TIME.map(({ file, title, shape }) => {
    const panels = (['none', 'pelton'] as const).flatMap((law) =>
      timePanels(LAWS[law].title, simulate(setupOf({ shape, law: LAWS[law].make, seed: SWEEP_SEEDS[0] }))),
    )
    return { file: `${file}.svg`, svg: plotSvg(title, panels) }
  })
}

/** Writes the plots into docs/overload/, and the tables into docs/overload.md. */
export async function writeDocs(note: (text: string) => void): Promise<void> {
  const plots: Plot[] = [...timePlots()]
  const shapes = SHAPES.flatMap((shape) => (['none', 'pelton'] as const).map((law) => runOf(shape, law)))
  const lines = [`**Shapes**: seed ${SWEEP_SEEDS[0]}.`, '', ...markdownLines(tableOf(shapes))]
  for (const { file, title, sweeps } of FIGURES) {
    const swept = sweeps.map((sweep) => {
      note(`${title}: ${sweep.name}`)
      return runSweep(sweep)
    })
    plots.push({ file: `${file}.svg`, svg: plotSvg(title, swept.flatMap(panelsOf)) })
    lines.push('', ...folded(`${title}, in figures`, swept))
  }
  await mkdir(PLOTS, { recursive: true })
  for (const { file, svg } of plots) await writeFile(join(PLOTS, file), svg)
  await writeFile(PAGE, withTables(await readFile(PAGE, 'utf8'), 'simulated', lines))
}

/** Tables that are there for whoever opens them: the plot shows what they say. */
function folded(title: string, swept: readonly Swept[]): readonly string[] {
  const tables = swept.flatMap((each) => [`**${each.name}**`, '', ...markdownLines(sweepTable(each)), ''])
  return ['<details>', `<summary>${title}</summary>`, '', ...tables, '</details>']
}

function runOf(shape: Shape, law: LawName): Named {
  return { shape, law, account: simulate(setupOf({ shape, law: LAWS[law].make, seed: SWEEP_SEEDS[0] })) }
}

/** A row for each line and value; in bold what was chosen. */
function sweepTable({ x, xs, lines, facts, chosen, found }: Swept): Table {
  const text = (fact: keyof Facts, value: number): string => value.toFixed(fact === 'p99Ms' ? 0 : 3)
  return [
    ['', ...xs.map((value) => (value === chosen ? `**${value}**` : String(value)))].map((cell, at) =>
      at === 0 ? x : cell,
    ),
    ...facts.flatMap((fact) =>
      lines.map(({ name }, at) => [
        `${FACT_NAMES[fact]}, ${name}`,
        ...xs.map((_x, index) => text(fact, found[at]?.[index]?.[fact] ?? Number.NaN)),
      ]),
    ),
  ]
}

const FACT_NAMES: Readonly<Record<keyof Facts, string>> = {
  goodput: 'goodput',
  highInTime: '`high` in time',
  lost: 'let in and lost',
  p99Ms: 'p99 ms',
  othersRefused: 'others refused',
}
