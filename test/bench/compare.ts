// Two checkouts of this repository against each other, in turn on the same cores: what a drain and a steady load cost,
// and what of a difference is noise (docs/benchmarks.md).
// npm run bench:compare -- --help
import { mkdtemp, rm } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { HERE, prepareSide } from './compare/checkout.ts'
import { pinTo, readMachine } from './compare/machine.ts'
import { type CompareOptions, readOptions, USAGE, UsageError } from './compare/options.ts'
import { machineLines, type Report, reportLines, verdictLine } from './compare/report.ts'
import { measureRounds } from './compare/rounds.ts'
import { judge, summarise } from './compare/summary.ts'

const EXIT = { ok: 0, slower: 1, failed: 2 } as const

const note = (text: string): void => void process.stderr.write(`${text}\n`)

async function compare(options: CompareOptions, signal: AbortSignal): Promise<Report> {
  if (options.cpu !== undefined) await pinTo(options.cpu)
  const machine = await readMachine(options.cpu)
  for (const line of machineLines(machine)) note(line)
  const folder = await mkdtemp(join(tmpdir(), 'pelton-compare-'))
  try {
    const workshop = { folder, note, signal }
    const base = await prepareSide('base', options.base, workshop)
    const head = await prepareSide('head', options.head, workshop)
    const { runs, perSecond } = await measureRounds({ sides: { base, head }, options, note, signal })
    const phases = (['drain', 'open'] as const).filter((phase) => runs.some((run) => run.phase === phase))
    const summaries = phases.map((phase) => summarise(phase, runs))
    const { atLeast, by } = options
    const verdict = atLeast === undefined ? undefined : judge(summaries, by, atLeast)
    return { machine, sides: { base: base.label, head: head.label }, perSecond, summaries, verdict, runs }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController()
  // Once: the next one ends this process at once, and the broker and the workers notice.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(name))
  try {
    const options = readOptions(args, HERE)
    if (options !== undefined) return await run(options, stop.signal)
    console.log(USAGE)
    return EXIT.ok
  } catch (thrown) {
    if (stop.signal.aborted) return 128 + constants.signals[stop.signal.reason as 'SIGINT' | 'SIGTERM']
    note(`bench:compare: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
    if (thrown instanceof UsageError) note('See npm run bench:compare -- --help.')
    return EXIT.failed
  }
}

async function run(options: CompareOptions, signal: AbortSignal): Promise<number> {
  const report = await compare(options, signal)
  console.log(options.isJson ? JSON.stringify(report, null, 1) : reportLines(report).join('\n'))
  const { verdict } = report
  if (options.isJson && verdict !== undefined) note(verdictLine(verdict))
  return verdict === undefined || verdict.kind === 'at least' ? EXIT.ok : EXIT.slower
}

process.exit(await main(process.argv.slice(2)))
