import { readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { METRICS, type Metric, PREFIX_ATTRIBUTE } from '../../shared/runtime/metrics.ts'
import { FOREIGN_SERIES } from './exporter-series.ts'
import { ROOT, readDashboard, readPanelQueries, readRuleCases, readRules } from './observability-files.ts'
import { selectorsOf } from './promql-names.ts'

const TARGET = ['job', 'instance', '__name__']

/** Every series there is, with its labels. */
async function knownSeries(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const known = new Map<string, Set<string>>()
  const add = (name: string, labels: readonly string[]): void => {
    const all = known.get(name) ?? new Set(TARGET)
    for (const label of labels) all.add(label.replaceAll('.', '_'))
    known.set(name, all)
  }
  for (const { prometheus, kind, labels } of Object.values<Metric>(METRICS)) {
    if (kind !== 'histogram') add(prometheus, labels)
    else {
      add(`${prometheus}_bucket`, [...labels, 'le'])
      for (const suffix of ['sum', 'count']) add(`${prometheus}_${suffix}`, labels)
    }
  }
  for (const [name, labels] of FOREIGN_SERIES) add(name, labels)
  for (const { record } of await readRules())
    if (record !== undefined) add(record, ['model', 'reason', 'lane', 'stream_name'])
  return known
}

async function expectKnown(expressions: readonly (readonly [where: string, expr: string])[]): Promise<void> {
  const known = await knownSeries()
  const problems: string[] = []
  let selectors = 0
  for (const [where, expr] of expressions) {
    for (const { name, labels } of selectorsOf(expr)) {
      selectors++
      const has = known.get(name)
      if (has === undefined) problems.push(`${where}: there is no ${name}`)
      for (const label of labels)
        if (has !== undefined && !has.has(label)) problems.push(`${where}: ${name} has no label ${label}`)
    }
  }
  expect(problems).toEqual([])
  expect(selectors).toBeGreaterThanOrEqual(expressions.length)
}

test('selectors are found, and nothing else is taken for one', () => {
  const expr =
    'sum by (le, model) (rate(a_total{x="b_total{", y=~"c"}[5m] offset 10m)) / on (job) group_left up > 1e3 or vector(0)'
  expect(selectorsOf(expr)).toEqual([
    { name: 'a_total', labels: ['x', 'y'] },
    { name: 'up', labels: [] },
  ])
})

test('every rule goes by metrics and labels that exist', async () => {
  const rules = await readRules()
  await expectKnown(rules.map(({ alert, record, expr }) => [alert ?? record ?? '', expr]))
})

test('every panel of the dashboard goes by metrics and labels that exist', async () => {
  const queries = await readPanelQueries()
  await expectKnown(queries.map(({ panel, expr }) => [panel, expr]))
})

test('the cases of the alerts go by metrics and labels that exist', async () => {
  const cases = await readRuleCases()
  await expectKnown(
    cases.flatMap(({ name, input_series: all }) => all.map(({ series }) => [name, series] as const)),
  )
})

test('the list of foreign series has nothing that nobody looks at', async () => {
  const used = new Set(
    [...(await readRules()), ...(await readPanelQueries())].flatMap(({ expr }) =>
      selectorsOf(expr).map(({ name }) => name),
    ),
  )
  const annotation = 'ALERTS'
  expect([...FOREIGN_SERIES.keys()].filter((name) => !used.has(name) && name !== annotation)).toEqual([])
})

test('every metric of Pelton a page speaks of exists', async () => {
  const known = await knownSeries()
  const inDocs = await readdir(`${ROOT}docs`, { recursive: true })
  const pages = ['README.md', ...inDocs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]
  const label = PREFIX_ATTRIBUTE.replaceAll('.', '_')
  const problems: string[] = []
  for (const page of pages) {
    const text = await readFile(`${ROOT}${page}`, 'utf8')
    for (const [name] of text.matchAll(
      /(?<![\w.$-])(?:pelton|jetstream|gnatsd|messaging|nodejs|http_server)_[a-z0-9_]+\b/g,
    )) {
      const isKnown = name === label || known.has(name) || known.has(`${name}_bucket`)
      if (!isKnown) problems.push(`${page}: ${name}`)
    }
  }
  expect(problems).toEqual([])
})

test('every panel has a place of its own, a datasource by variable, and a title', async () => {
  const { panels, uid, templating } = await readDashboard()
  expect(uid).toBe('pelton')
  expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'model'])
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const cells = new Map<string, string>()
  for (const { title, type, gridPos, datasource, targets = [] } of panels) {
    expect(title).not.toBe('')
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        const cell = `${x} ${y}`
        expect(cells.get(cell), `${title} lies on another panel`).toBeUndefined()
        expect(x).toBeLessThan(24)
        cells.set(cell, title)
      }
    }
    if (type === 'row') continue
    expect(targets.length, title).toBeGreaterThan(0)
    for (const each of [datasource, ...targets.map((target) => target.datasource)])
      expect(each?.uid, title).toBe(`\${${'datasource'}}`)
  }
})
