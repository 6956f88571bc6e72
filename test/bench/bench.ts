// Pelton beside what else one could take, and beside what the machine allows (docs/benchmarks.md).
// npm run bench -- --help
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { messageOf } from '../../shared/sdk/errors.ts'
import { HERE } from './compare/checkout.ts'
import { pinTo, readMachine } from './compare/machine.ts'
import { UsageError } from './compare/options.ts'
import { machineLines } from './compare/report.ts'
import { type BenchOptions, readBenchOptions, USAGE } from './suite/options.ts'
import { writeTables } from './suite/page.ts'
import { type BenchReport, benchLines, benchMarkdown } from './suite/report.ts'
import type { ScenarioResult } from './suite/result.ts'
import { changeLines, readSaved } from './suite/saved.ts'
import { SCENARIOS } from './suite/scenarios.ts'
import { openWorkplace } from './suite/workplace.ts'

const EXIT = { ok: 0, void: 1, failed: 2 } as const

const note = (text: string): void => void process.stderr.write(`${text}\n`)

async function measure(options: BenchOptions, signal: AbortSignal): Promise<BenchReport> {
  if (options.cpu !== undefined) await pinTo(options.cpu)
  const machine = await readMachine(options.cpu)
  for (const line of machineLines(machine)) note(line)
  const workplace = await openWorkplace({ note, signal })
  try {
    const { run, ratios } = SCENARIOS[options.scenario]
    const results = await run(workplace, options)
    return {
      kind: 'pelton-bench',
      machine,
      checkout: await describeCheckout(),
      at: new Date().toISOString(),
      versions: await readVersions(),
      results: results.map((result) => ({ ...result, ratios: ratios(result) })),
    }
  } finally {
    await workplace.close()
  }
}

/** What Pelton runs the model and speaks to the broker with, as others here do. */
async function readVersions(): Promise<Readonly<Record<string, string>>> {
  const packages = ['onnxruntime-node', '@nats-io/transport-node', 'fastify']
  const versions = packages.map(async (name) => {
    const manifest = await readFile(join(HERE, 'node_modules', name, 'package.json'), 'utf8')
    return [name, (JSON.parse(manifest) as { readonly version: string }).version]
  })
  return Object.fromEntries(await Promise.all(versions))
}

async function describeCheckout(): Promise<string> {
  const git = (...args: string[]): Promise<string> =>
    promisify(execFile)('git', ['-C', HERE, ...args]).then(
      ({ stdout }) => stdout.trim(),
      () => '',
    )
  const commit = await git('rev-parse', '--short', 'HEAD')
  const changes = await git('status', '--porcelain')
  return `${commit === '' ? 'no commit' : commit}${changes === '' ? '' : ', with changes'}`
}

async function run(options: BenchOptions, signal: AbortSignal): Promise<number> {
  const { jsonFile, againstFile, isMarkdown, scenario } = options
  // npm changes to the root of the checkout, and says where it was called.
  const place = (file: string): string => resolve(process.env.INIT_CWD ?? '.', file)
  const saved = againstFile === undefined ? undefined : await readSaved(place(againstFile))
  const report = await measure(options, signal)
  console.log(benchLines(report).join('\n'))
  if (saved !== undefined) console.log(['', ...changeLines(saved, report)].join('\n'))
  if (jsonFile !== undefined) await writeFile(place(jsonFile), `${JSON.stringify(report, null, 1)}\n`)
  const isVoid = report.results.some(hasVoidRun)
  if (isMarkdown && isVoid) note('bench: a run is void, docs/benchmarks.md stays as it is')
  else if (isMarkdown) await writeTables(scenario, benchMarkdown(report))
  return isVoid ? EXIT.void : EXIT.ok
}

/** Whether a run of Pelton does not count; that of a peer is told, and no more. */
function hasVoidRun({ subjects, runs }: ScenarioResult): boolean {
  const peers = new Set(subjects.filter(({ isPeer }) => isPeer).map(({ name }) => name))
  return runs.some((run) => run.void !== undefined && !peers.has(run.subject))
}

async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController()
  // Once: the next one ends this process at once, and the broker and the workers notice.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(name))
  try {
    const options = readBenchOptions(args)
    if (options !== undefined) return await run(options, stop.signal)
    console.log(USAGE)
    return EXIT.ok
  } catch (thrown) {
    if (stop.signal.aborted) return 128 + constants.signals[stop.signal.reason as 'SIGINT' | 'SIGTERM']
    note(`bench: ${messageOf(thrown)}`)
    if (thrown instanceof UsageError) note('See npm run bench -- --help.')
    return EXIT.failed
  }
}

process.exit(await main(process.argv.slice(2)))
