import { type ModelRepository, openRepository, type ServedModel } from '../../../shared/models/repository.ts'
import { alignColumns } from '../../../shared/runtime/columns.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { showBytes } from '../../../shared/runtime/quantities.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { DEMO_MODELS } from '../../demo/models.ts'
import type { CommandRun } from '../command-run.ts'
import { checkedJson, checkedRows, describeModel } from './checked.ts'
import { fitCost } from './knee.ts'
import { measureModel } from './measure.ts'
import { sampleInput } from './sample-row.ts'

/** Batches are tried up to here, or to what the manifest allows. */
const LARGEST_TRIED = 256

export interface ModelsArguments {
  readonly json?: boolean
}

/** Prints what a folder holds, and what would be refused. @returns exit code */
export async function listModels(
  run: CommandRun,
  folder: string | undefined,
  options: ModelsArguments,
): Promise<number> {
  const { terminal } = run
  const repository = await open(run, folder)
  const facts = repository.models.map(describeModel)
  if (options.json === true) for (const one of facts) terminal.json(one)
  else if (facts.length > 0) {
    terminal.table([
      ['MODEL', 'VERSION', 'SIZE', 'BATCH', 'INPUTS', 'OUTPUTS', 'SHA-256'],
      ...facts.map((one) => [
        one.model,
        one.version,
        showBytes(one.sizeBytes),
        one.batchable ? `up to ${one.maxBatchRows}` : 'no',
        String(one.inputs.length),
        one.outputs.join(' '),
        one.sha256.slice(0, 16),
      ]),
    ])
  }
  return reportRefused(run, repository, options)
}

/** Loads, tries and measures every model of a folder. @returns exit code */
export async function checkModels(
  run: CommandRun,
  folder: string | undefined,
  options: ModelsArguments,
): Promise<number> {
  const repository = await open(run, folder)
  let isFailed = false
  for (const model of repository.models) {
    if (run.signal.aborted) return EXIT_CODES.failed
    run.terminal.progress(`measuring ${model.name} version ${model.version}`)
    try {
      await checkModel(run, model, options)
    } catch (thrown) {
      if (!(thrown instanceof PeltonError)) throw thrown
      isFailed = true
      reportFailure(run, model.name, model.version, thrown, options)
    }
  }
  const code = reportRefused(run, repository, options)
  return isFailed ? EXIT_CODES.failed : code
}

async function checkModel(
  { terminal, signal }: CommandRun,
  model: ServedModel,
  options: ModelsArguments,
): Promise<void> {
  const sample = sampleInput(model)
  const measurement = await measureModel(
    {
      path: model.path,
      inputs: sample.inputs,
      outputs: model.manifest.outputs,
      maxRows: model.batchable ? Math.max(LARGEST_TRIED, model.maxBatchRows) : 1,
    },
    signal,
  )
  const checked = { model, measurement, cost: fitCost(measurement.timings), sampleFrom: sample.origin }
  if (options.json === true) {
    terminal.json(checkedJson(checked))
    return
  }
  terminal.print(terminal.strong(`${model.name} version ${model.version}`))
  for (const line of alignColumns(checkedRows(checked))) terminal.print(`  ${line}`)
}

function open({ env, terminal }: CommandRun, folder: string | undefined): Promise<ModelRepository> {
  // Remarks and refusals come with the results; only progress is news.
  const note = (text: string): void => {
    if (/^\d+ of \d+/.test(text)) terminal.progress(text)
  }
  return openRepository({ folder: folder ?? (env.PELTON_MODELS || DEMO_MODELS), note })
}

function reportRefused(run: CommandRun, { refused }: ModelRepository, options: ModelsArguments): number {
  for (const { name, version, error } of refused) reportFailure(run, name, version, error, options)
  return refused.length === 0 ? EXIT_CODES.ok : EXIT_CODES.failed
}

function reportFailure(
  { terminal }: CommandRun,
  model: string,
  version: string | undefined,
  error: PeltonError,
  { json = false }: ModelsArguments,
): void {
  if (json) {
    terminal.json({ model, version, refused: error.message })
    return
  }
  terminal.print(
    `${terminal.bad('refused')}  ${model}${version === undefined ? '' : ` version ${version}`}: ${error.message}`,
  )
}
