import { parse } from 'lossless-json'
import type { ServedModel } from '../../../shared/models/repository.ts'
import type { TensorSpec } from '../../../shared/models/signature.ts'
import { showBytes, showDuration } from '../../../shared/runtime/quantities.ts'
import { encodeResponse } from '../../../shared/sdk/contract/open-inference.ts'
import type { CostFit } from './knee.ts'
import type { Measurement } from './measure.ts'
import type { SampleInput } from './sample-row.ts'

/** A model that was loaded, tried and measured. */
export interface CheckedModel {
  readonly model: ServedModel
  readonly measurement: Measurement
  readonly cost: CostFit
  readonly sampleFrom: SampleInput['origin']
}

const SHOWN_PREDICTION = 200

/** What a list says about a model. */
export function describeModel(model: ServedModel) {
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

/** Everything about a checked model as plain fields. */
export function checkedJson(checked: CheckedModel) {
  const { model, measurement, cost, sampleFrom } = checked
  const { loadMs, memoryBytes, timings } = measurement
  return {
    ...describeModel(model),
    loadMs,
    memoryBytes,
    timings,
    ...cost,
    goldenSamples: model.manifest.golden.length,
    sampleFrom,
    prediction: parse(predictionText(checked)),
    notes: model.notes,
  }
}

/** A checked model for people: name and text of each line, the name empty where the line goes on. */
export function checkedRows(checked: CheckedModel): string[][] {
  const { model, measurement, sampleFrom } = checked
  const { golden } = model.manifest
  const prediction = predictionText(checked)
  const shown =
    prediction.length <= SHOWN_PREDICTION ? prediction : `${prediction.slice(0, SHOWN_PREDICTION - 1)}…`
  return [
    ...named('inputs', model.signature.inputs.map(showSpec)),
    ...named('outputs', model.signature.outputs.map(showSpec)),
    [
      'golden',
      golden.length === 0 ? 'none in the manifest to prove the answers right' : `${golden.length} met`,
    ],
    ...named('notes', model.notes),
    [
      'file',
      `${showBytes(model.sizeBytes)}, loads in ${showDuration(measurement.loadMs)}, takes ${showBytes(measurement.memoryBytes)} of memory`,
    ],
    ...named('batching', batchLines(checked)),
    ['prediction', `${shown} (${sampleFrom})`],
  ]
}

function named(name: string, lines: readonly string[]): string[][] {
  return lines.map((line, index) => [index === 0 ? name : '', line])
}

function batchLines({ model, measurement: { timings }, cost }: CheckedModel): string[] {
  const [alone] = timings
  const best = timings.find(({ rows }) => rows === cost.kneeRows)
  if (alone === undefined || best === undefined || !model.batchable)
    return [`no: one event a run, ${showMicros(alone?.ms ?? 0)}`]
  const perRowMs = best.ms / best.rows
  const lines = [
    `yes, up to ${model.maxBatchRows} rows; t(b) ≈ ${showMicros(cost.fixedMs)} + ${showMicros(cost.perRowMs)} · b`,
    `knee at ${best.rows} rows: ${showMicros(perRowMs)} a row, ${(alone.ms / perRowMs).toFixed(1)} times less than alone`,
  ]
  if (best.rows > model.maxBatchRows)
    lines.push(`batching: {maxRows: ${best.rows}} in the manifest would make a row cheaper`)
  return lines
}

function predictionText({ model, measurement }: CheckedModel): string {
  const { body } = encodeResponse({
    modelName: model.name,
    modelVersion: model.version,
    outputs: measurement.prediction,
  })
  return Buffer.from(body).toString()
}

function showSpec({ name, datatype, shape }: TensorSpec): string {
  return `${name} ${datatype}[${shape.map((size) => size ?? '?').join(', ')}]`
}

function showMicros(ms: number): string {
  return `${(ms * 1_000).toFixed(ms < 0.01 ? 1 : 0)} µs`
}
