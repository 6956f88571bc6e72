import { Command } from 'commander'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { encodeResponse } from '../../../shared/sdk/contract/open-inference.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { DEMO_MODELS } from '../../demo/models.ts'
import { type ModelRepository, openRepository, type ServedModel } from '../../worker/models/repository.ts'
import type { TensorSpec } from '../../worker/models/signature.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { type CostFit, fitCost } from '../models/knee.ts'
import { type Measurement, measureModel } from '../models/measure.ts'
import { sampleInput } from '../models/sample-row.ts'
import { showBytes, showDuration } from '../quantities.ts'

interface ModelsArguments {
  readonly json?: boolean
}

export function modelsCommand(): Command {
  return new Command('models')
    .summary('look at a models folder, and try its models before they are shipped')
    .addCommand(listCommand())
    .addCommand(checkCommand())
}

function listCommand(): Command {
  return new Command('list')
    .summary('list the models of a folder, and those that would be refused')
    .argument('[folder]', 'models folder (PELTON_MODELS; default: the demo model)')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', helpTail(['pelton models list ./models'], { failed: 'a model would be refused' }))
    .action((folder: string | undefined, options: ModelsArguments) =>
      runCommand((run) => list(run, folder, options)),
    )
}

function checkCommand(): Command {
  return new Command('check')
    .summary('load, try and measure every model of a folder')
    .description(
      'Signature, golden samples, whether rows may share a run, a sample prediction, load time, memory, and the batch size\n' +
        'beyond which a row gets no cheaper. Each model runs in a process of its own.',
    )
    .argument('[folder]', 'models folder (PELTON_MODELS; default: the demo model)')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      helpTail(['pelton models check ./models', 'pelton models check ./models --json | jq .kneeRows'], {
        failed: 'a model would be refused or fails',
      }),
    )
    .action((folder: string | undefined, options: ModelsArguments) =>
      runCommand((run) => check(run, folder, options)),
    )
}

async function list(run: CommandRun, folder: string | undefined, options: ModelsArguments): Promise<number> {
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

async function check(run: CommandRun, folder: string | undefined, options: ModelsArguments): Promise<number> {
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

async function checkModel({ terminal, signal }: CommandRun, model: ServedModel, options: ModelsArguments) {
  const sample = sampleInput(model)
  const measurement = await measureModel(
    {
      path: model.path,
      inputs: sample.inputs,
      outputs: model.manifest.outputs,
      maxRows: model.batchable ? Math.max(256, model.maxBatchRows) : 1,
    },
    signal,
  )
  const cost = fitCost(measurement.timings)
  const prediction = Buffer.from(
    encodeResponse({ modelName: model.name, modelVersion: model.version, outputs: measurement.prediction })
      .body,
  ).toString()
  if (options.json === true) {
    const { loadMs, memoryBytes, timings } = measurement
    const facts = {
      ...describeModel(model),
      loadMs,
      memoryBytes,
      timings,
      ...cost,
      goldenSamples: model.manifest.golden.length,
    }
    return terminal.json({
      ...facts,
      sampleFrom: sample.origin,
      prediction: JSON.parse(prediction) as unknown,
      notes: model.notes,
    })
  }
  terminal.print(terminal.strong(`${model.name} version ${model.version}`))
  const line = (name: string, text: string): void => terminal.print(`  ${name.padEnd(12)}${text}`)
  for (const [index, input] of model.signature.inputs.entries())
    line(index === 0 ? 'inputs' : '', showSpec(input))
  for (const [index, output] of model.signature.outputs.entries())
    line(index === 0 ? 'outputs' : '', showSpec(output))
  line('golden', goldenText(model))
  for (const note of model.notes) line('note', note)
  line(
    'file',
    `${showBytes(model.sizeBytes)}, loads in ${showDuration(measurement.loadMs)}, ${showBytes(measurement.memoryBytes)} of memory`,
  )
  for (const [index, text] of batchLines(model, measurement, cost).entries())
    line(index === 0 ? 'batching' : '', text)
  line(
    'prediction',
    `${prediction.length <= 200 ? prediction : `${prediction.slice(0, 199)}…`} (${sample.origin})`,
  )
}

function goldenText({ manifest: { golden } }: ServedModel): string {
  return golden.length === 0
    ? 'none in the manifest: nothing proves that the answers are right'
    : `${golden.length} met`
}

function batchLines(model: ServedModel, { timings }: Measurement, cost: CostFit): string[] {
  const [first] = timings
  const perRow = (ms: number): string => `${(ms * 1_000).toFixed(0)} µs`
  if (!model.batchable) return [`no: one row a run, ${perRow(first?.ms ?? 0)}`]
  const best = timings.find(({ rows }) => rows === cost.kneeRows)
  const gain = best === undefined || first === undefined ? 1 : first.ms / (best.ms / best.rows)
  const lines = [
    `yes, up to ${model.maxBatchRows} rows; t(b) ≈ ${perRow(cost.fixedMs)} + ${perRow(cost.perRowMs)} · b`,
    `knee at ${cost.kneeRows} rows: a row costs ${perRow((best?.ms ?? 0) / cost.kneeRows)}, ${gain.toFixed(1)} times less than alone`,
  ]
  if (cost.kneeRows > model.maxBatchRows)
    lines.push(`batching.maxRows: ${cost.kneeRows} in its manifest would be cheaper`)
  return lines
}

function showSpec({ name, datatype, shape }: TensorSpec): string {
  return `${name} ${datatype}[${shape.map((size) => size ?? '?').join(', ')}]`
}

function describeModel(model: ServedModel) {
  return {
    model: model.name,
    version: model.version,
    sha256: model.digest,
    sizeBytes: model.sizeBytes,
    batchable: model.batchable,
    maxBatchRows: model.maxBatchRows,
    inputs: model.signature.inputs.map(showSpec),
    outputs: model.manifest.outputs,
  }
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
  if (json) return terminal.json({ model, version, refused: error.message })
  terminal.print(
    `${terminal.bad('refused')}  ${model}${version === undefined ? '' : ` version ${version}`}: ${error.message}`,
  )
}
