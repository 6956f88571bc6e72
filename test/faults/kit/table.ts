import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import type { FaultRow } from './row.ts'

const HEADINGS = [
  'fault',
  'events',
  'predictions',
  'dead letters',
  'lost',
  'doubled',
  'redeliveries',
  'longest gap s',
  'recovered in s',
  'note',
]

/** Collects what the scenarios find, and prints it as one table when all files are through. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // What all files of a run share: their processes inherit it. `--mode` reaches the root of the projects only.
  if (project.vitest.vite.config.mode === 'full') process.env.PELTON_FAULTS_FORM = 'full'
  process.env.PELTON_FAULTS_SEED ??= String(Date.now() % 2 ** 31)
  const form = process.env.PELTON_FAULTS_FORM ?? 'short'
  process.stdout.write(`faults: ${form} form, PELTON_FAULTS_SEED=${process.env.PELTON_FAULTS_SEED}\n`)
  const folder = await mkdtemp(join(tmpdir(), 'pelton-faults-'))
  const file = join(folder, 'rows.jsonl')
  await writeFile(file, '')
  project.provide('faultRows', file)
  return async () => {
    const text = await readFile(file, 'utf8')
    await rm(folder, { recursive: true, force: true })
    const rows = text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as FaultRow]))
    if (rows.length > 0) process.stdout.write(`\n${showTable(rows)}\n\n`)
  }
}

/** The rows as a Markdown table, with what repeats them. */
export function showTable(rows: readonly FaultRow[]): string {
  const cells = [HEADINGS, ...rows.map(cellsOf)]
  const widths = HEADINGS.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const lines = cells.map((row) => {
    const padded = row.map((cell, column) =>
      column === 0 || column === row.length - 1
        ? cell.padEnd(widths[column] ?? 0)
        : cell.padStart(widths[column] ?? 0),
    )
    return `| ${padded.join(' | ')} |`
  })
  const rule = widths.map((width, column) =>
    column === 0 || column === widths.length - 1 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  )
  lines.splice(1, 0, `| ${rule.join(' | ')} |`)
  return [...lines, '', ...repeatLines(rows)].join('\n')
}

function cellsOf(row: FaultRow): string[] {
  const { fault, events, predictions, deadLetters, lost, doubled, redeliveries, note } = row
  const numbers = [events, predictions, deadLetters, lost, doubled, redeliveries]
  const recovered = row.recoveredMs === undefined ? '' : showSeconds(row.recoveredMs)
  return [
    fault,
    ...numbers.map((number) => number.toLocaleString('en-GB')),
    showSeconds(row.longestGapMs),
    recovered,
    note,
  ]
}

function showSeconds(ms: number): string {
  return (ms / 1_000).toFixed(1)
}

function repeatLines(rows: readonly FaultRow[]): string[] {
  const bySeed = new Map<string, Set<string>>()
  for (const { seed, isFull, file } of rows) {
    const command = `PELTON_FAULTS_SEED=${seed} npx vitest run --project faults${isFull ? ' --mode full' : ''}`
    bySeed.set(command, (bySeed.get(command) ?? new Set()).add(file))
  }
  return [...bySeed].map(([command, files]) => `Repeat: ${command} ${[...files].join(' ')}`)
}
