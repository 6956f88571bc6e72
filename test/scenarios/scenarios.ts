// Pelton, a naive server and a queue at loads they can and cannot carry (docs/overload.md).
// npm run scenarios -- --help
import { readFile, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../shared/sdk/errors.ts'
import { HERE } from '../bench/compare/checkout.ts'
import { readMachine } from '../bench/compare/machine.ts'
import { UsageError } from '../bench/compare/options.ts'
import { withTables } from '../bench/suite/page.ts'
import { openWorkplace, type Workplace } from '../bench/suite/workplace.ts'
import { CONTESTANTS } from './contestants/contestants.ts'
import { type Chosen, findCapacity } from './find-capacity.ts'
import { type Measured, measureChosen } from './measure-contestant.ts'
import { MODELS, rowCosts } from './model/models.ts'
import { readScenarioOptions, type ScenarioOptions, USAGE } from './options.ts'
import { isEveryBarMet, isVoid, reportLines, reportMarkdown, type ScenarioReport } from './report.ts'

const EXIT = { ok: 0, void: 1, failed: 2, missed: 3 } as const
const PAGE = join(HERE, 'docs/overload.md')

const note = (text: string): void => void process.stderr.write(`${text}\n`)

async function measure(options: ScenarioOptions, signal: AbortSignal): Promise<ScenarioReport> {
  const machine = await readMachine(undefined)
  const workplace = await openWorkplace({ note, signal })
  try {
    const model = MODELS[options.model]
    const rowMs = await rowCosts(model, workplace.flights)
    const { chosen, absent } = await chooseAll(workplace, options)
    const sharedPerSecond = 3 * Math.max(...chosen.map(({ capacity }) => capacity.perSecond))
    const contestants: Measured[] = []
    const { scenarios, timing, seed } = options
    const facts = { shared: sharedPerSecond, scenarios, timing, seed }
    for (const each of chosen) contestants.push(await measureChosen(each, facts, note))
    return {
      ...{ kind: 'pelton-scenarios', machine, at: new Date().toISOString(), isQuick: options.isQuick },
      ...{ model: model.name, seed, rowMs, sharedPerSecond, contestants, absent },
    }
  } finally {
    await workplace.close()
  }
}

/** The capacity of everybody who takes part, before anybody is overloaded: the shared load is three times the highest. */
async function chooseAll(
  workplace: Workplace,
  { contestants, model, timing }: ScenarioOptions,
): Promise<{ readonly chosen: readonly Chosen[]; readonly absent: ScenarioReport['absent'] }> {
  const chosen: Chosen[] = []
  const absent: { name: string; reason: string }[] = []
  for (const contestant of CONTESTANTS.filter(({ name }) => contestants.includes(name))) {
    try {
      const candidates = await contestant.prepare(workplace, MODELS[model])
      chosen.push(await findCapacity(contestant, candidates, timing, note))
    } catch (thrown) {
      if (workplace.signal.aborted || !contestant.isPeer) throw thrown
      note(`${contestant.name} does not take part: ${messageOf(thrown)}`)
      absent.push({ name: contestant.name, reason: messageOf(thrown) })
    }
  }
  if (chosen.length === 0) throw new Error('nobody takes part')
  return { chosen, absent }
}

async function run(options: ScenarioOptions, signal: AbortSignal): Promise<number> {
  const report = await measure(options, signal)
  console.log(options.isJson ? JSON.stringify(report) : reportLines(report).join('\n'))
  if (isVoid(report) && options.isMarkdown) note('scenarios: a run is void, docs/overload.md stays as it is')
  else if (options.isMarkdown)
    await writeFile(PAGE, withTables(await readFile(PAGE, 'utf8'), 'overload', reportMarkdown(report)))
  if (isVoid(report)) return EXIT.void
  return isEveryBarMet(report) ? EXIT.ok : EXIT.missed
}

async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController()
  // Once: the next one ends this process at once, and the broker and the workers notice.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(name))
  try {
    const options = readScenarioOptions(args)
    if (options !== undefined) return await run(options, stop.signal)
    console.log(USAGE)
    return EXIT.ok
  } catch (thrown) {
    if (stop.signal.aborted) return 128 + constants.signals[stop.signal.reason as 'SIGINT' | 'SIGTERM']
    note(`scenarios: ${messageOf(thrown)}`)
    if (thrown instanceof UsageError) note('See npm run scenarios -- --help.')
    return EXIT.failed
  }
}

process.exit(await main(process.argv.slice(2)))
