import { fitCost } from '../../../shared/models/batch-cost.ts'
import { CopyUse } from '../../../shared/models/copy-place.ts'
import { type ModelRepository, openRepository, type ServedModel } from '../../../shared/models/repository.ts'
import { describeSignatureChange } from '../../../shared/models/signature-difference.ts'
import { alignColumns } from '../../../shared/runtime/columns.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { showBytes } from '../../../shared/runtime/quantities.ts'
import { messageOf, PeltonError } from '../../../shared/sdk/errors.ts'
import { DEMO_MODELS } from '../../demo/models.ts'
import { readFolderOptions } from '../../worker/config.ts'
import type { CommandRun } from '../command-run.ts'
import {
  type CheckedModel,
  checkedJson,
  checkedRows,
  describeModel,
  knownRows,
  type SignatureChanges,
  showCalibrated,
  unmeasuredJson,
} from './checked.ts'
import { type KnownOfPool, readKnown } from './costs.ts'
import { measureModel } from './measure.ts'
import { sampleInput, type Unmeasured } from './sample-row.ts'

/** Batches are tried up to here, or to what the manifest allows. */
const LARGEST_TRIED = 256

export interface ModelsArguments {
  readonly json?: boolean
}

export interface ListArguments extends ModelsArguments {
  /** Whose workers have measured. */
  readonly pool: string
}

/** Prints what a folder holds, and what would be refused. @returns exit code */
export async function listModels(
  run: CommandRun,
  folder: string | undefined,
  options: ListArguments,
): Promise<number> {
  return withRepository(run, folder, async (repository) => {
    printModels(run, repository, await readKnown(run, options.pool), options)
    return reportRefused(run, repository, options)
  })
}

function printModels(
  { terminal }: CommandRun,
  { models }: ModelRepository,
  known: KnownOfPool,
  options: ModelsArguments,
): void {
  const facts = models.map((model) => {
    const admission = known.admission(model)
    const set = admission && { ...admission, at: new Date(admission.at).toISOString() }
    return { ...describeModel(model), calibrations: known.costs(model), ...(set && { admission: set }) }
  })
  if (options.json === true) for (const one of facts) terminal.json(one)
  else if (facts.length > 0) {
    terminal.table([
      ['MODEL', 'VERSION', 'SIZE', 'BATCH', 'CALIBRATED', 'ADMISSION', 'INPUTS', 'OUTPUTS', 'SHA-256'],
      ...facts.map((one) => [
        one.model,
        one.version,
        showBytes(one.sizeBytes),
        one.batchable ? `up to ${one.maxBatchRows}` : 'no',
        showCalibrated(one.calibrations),
        one.admission === undefined ? '-' : `${one.admission.mode}, by ${one.admission.by}`,
        String(one.inputs.length),
        one.outputs.join(' '),
        one.sha256.slice(0, 16),
      ]),
    ])
  }
}

/**
 * Loads, tries and measures every model of a folder. Whatever one of them does, the others are tried; one that is served and
 * cannot be measured is no failure. @returns exit code
 */
export async function checkModels(
  run: CommandRun,
  folder: string | undefined,
  options: ModelsArguments,
): Promise<number> {
  return withRepository(run, folder, (repository) => checkAll(run, repository, options))
}

async function checkAll(
  run: CommandRun,
  repository: ModelRepository,
  options: ModelsArguments,
): Promise<number> {
  const { models } = repository
  for (const [index, model] of models.entries()) {
    if (run.signal.aborted) return EXIT_CODES.failed
    run.terminal.progress(
      `measuring ${index + 1} of ${models.length}: ${model.name} version ${model.version}`,
    )
    const changes = changesFrom(models[index - 1], model)
    try {
      await checkModel(run, model, changes, options)
    } catch (thrown) {
      if (run.signal.aborted) return EXIT_CODES.failed
      reportUnmeasured(run, model, unmeasurable(thrown), changes, options)
    }
  }
  return reportRefused(run, repository, options)
}

async function checkModel(
  run: CommandRun,
  model: ServedModel,
  changes: SignatureChanges | undefined,
  options: ModelsArguments,
): Promise<void> {
  const sample = sampleInput(model)
  if ('reason' in sample) {
    reportUnmeasured(run, model, sample, changes, options)
    return
  }
  const measurement = await measureModel(
    {
      path: model.path,
      inputs: sample.inputs,
      outputs: model.manifest.outputs,
      maxRows: model.batchable ? Math.max(LARGEST_TRIED, model.maxBatchRows) : 1,
    },
    { inspectMs: readFolderOptions(run.env).inspect.timeLimitMs, signal: run.signal },
  )
  const cost = fitCost(measurement.timings)
  reportChecked(run, { model, measurement, cost, sampleFrom: sample.origin, changes }, options)
}

/** A model that its inspection took, and that did not go well the second time: it may be random, slow or large. */
function unmeasurable(thrown: unknown): Unmeasured {
  const what = messageOf(thrown)
  return {
    reason: thrown instanceof PeltonError ? thrown.description : `checking it failed: ${what}`,
    remedy: 'Check it where nothing else runs, with memory to spare.',
  }
}

/** What differs from the next lower version that is served; models come by name, then version. */
function changesFrom(below: ServedModel | undefined, model: ServedModel): SignatureChanges | undefined {
  if (below?.name !== model.name) return undefined
  const differences = describeSignatureChange(below.signature, model.signature)
  return differences.length === 0 ? undefined : { from: below.version, differences }
}

function reportChecked(
  { terminal }: CommandRun,
  checked: CheckedModel,
  { json = false }: ModelsArguments,
): void {
  if (json) {
    terminal.json(checkedJson(checked))
    return
  }
  const { name, version } = checked.model
  const lines = alignColumns(checkedRows(checked))
  terminal.print(terminal.strong(`${name} version ${version}`))
  for (const line of lines) terminal.print(`  ${line}`)
}

function reportUnmeasured(
  { terminal }: CommandRun,
  model: ServedModel,
  unmeasured: Unmeasured,
  changes: SignatureChanges | undefined,
  { json = false }: ModelsArguments,
): void {
  if (json) {
    terminal.json(unmeasuredJson(model, unmeasured, changes))
    return
  }
  const { reason, remedy } = unmeasured
  const name = `${model.name} version ${model.version}`
  terminal.print(`${terminal.warn('not measured')}  ${name}: it is served, but ${reason}. ${remedy}`)
  for (const line of alignColumns(knownRows(model, changes))) terminal.print(`  ${line}`)
}

/** Reads a folder as a worker with these settings does, through private copies, so that both find the same in it. */
async function withRepository(
  { env, terminal }: CommandRun,
  folder: string | undefined,
  act: (repository: ModelRepository) => number | Promise<number>,
): Promise<number> {
  const { copies, inspect } = readFolderOptions(env)
  const use = new CopyUse(copies.folder)
  try {
    const repository = await openRepository({
      folder: folder ?? (env.PELTON_MODELS || DEMO_MODELS),
      inspect,
      copies: { ...copies, use },
      onProgress: (done, total) => terminal.progress(`inspecting ${done + 1} of ${total}`),
    })
    for (const remark of repository.remarks) terminal.note(remark)
    return await act(repository)
  } finally {
    await use.close()
  }
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
