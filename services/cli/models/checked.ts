import { parse } from 'lossless-json'
import type { CostFit } from '../../../shared/models/batch-cost.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import type { TensorSpec } from '../../../shared/models/signature.ts'
import { showType } from '../../../shared/models/signature-difference.ts'
import { showBytes, showDuration } from '../../../shared/runtime/quantities.ts'
import { encodeResponse } from '../../../shared/sdk/contract/open-inference.ts'
import type { KnownCost } from './costs.ts'
import type { Measurement } from './measure.ts'
import type { SampleInput, Unmeasured } from './sample-row.ts'

/** A model that was loaded, tried and measured. */
export interface CheckedModel {
  readonly model: ServedModel
  readonly measurement: Measurement
  readonly cost: CostFit
  readonly sampleFrom: SampleInput['origin']
  /** How it takes and gives other tensors than the version below it. */
  readonly changes: SignatureChanges | undefined
}

/** What differs from the signature of a lower version. */
export interface SignatureChanges {
  readonly from: string
  readonly differences: readonly string[]
}

const SHOWN_PREDICTION = 200
/** The least part of a run's cost that all its rows together must have, so that a row's share says something. */
const LEAST_SHARE = 0.1

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
  const { model, measurement, cost, sampleFrom, changes } = checked
  const { loadMs, memoryBytes, timings } = measurement
  return {
    ...describeModel(model),
    measured: true,
    loadMs,
    memoryBytes,
    timings,
    ...cost,
    goldenSamples: model.manifest.golden.length,
    sampleFrom,
    prediction: measurement.prediction === undefined ? null : parse(predictionText(checked)),
    predictionShapes: measurement.outputs,
    ...changesJson(changes),
    notes: model.notes,
  }
}

/** A model that is served and was not measured, as plain fields. */
export function unmeasuredJson(
  model: ServedModel,
  { reason, remedy }: Unmeasured,
  changes: SignatureChanges | undefined,
) {
  return {
    ...describeModel(model),
    measured: false,
    reason,
    remedy,
    loadMs: model.loadMs,
    goldenSamples: model.manifest.golden.length,
    ...changesJson(changes),
    notes: model.notes,
  }
}

function changesJson(changes: SignatureChanges | undefined) {
  return changes === undefined ? {} : { signatureChanges: changes }
}

/** What is known of a served model without measuring it: name and text of each line. */
export function knownRows(model: ServedModel, changes: SignatureChanges | undefined): string[][] {
  const { golden } = model.manifest
  return [
    ...named('inputs', model.signature.inputs.map(showSpec)),
    ...named('outputs', model.signature.outputs.map(showSpec)),
    ...named(
      'signature',
      changes === undefined ? [] : [`differs from version ${changes.from}:`, ...changes.differences],
    ),
    [
      'golden',
      golden.length === 0 ? 'none in the manifest to prove the answers right' : `${golden.length} met`,
    ],
    ...named('notes', model.notes),
  ]
}

/** A checked model for people: name and text of each line, the name empty where the line goes on. */
export function checkedRows(checked: CheckedModel): string[][] {
  const { model, measurement, sampleFrom } = checked
  return [
    ...knownRows(model, checked.changes),
    [
      'file',
      `${showBytes(model.sizeBytes)}, loads in ${showDuration(measurement.loadMs)}, takes ${showBytes(measurement.memoryBytes)} of memory`,
    ],
    ...named('batching', batchLines(checked)),
    ['prediction', `${shownPrediction(checked)} (${sampleFrom})`],
  ]
}

function named(name: string, lines: readonly string[]): string[][] {
  return lines.map((line, index) => [index === 0 ? name : '', line])
}

interface Measured extends Pick<CheckedModel, 'cost'> {
  readonly model: Pick<ServedModel, 'batchable' | 'maxBatchRows'>
  readonly measurement: Pick<Measurement, 'timings'>
}

/** How rows share a run, and what they cost; in words where a row's share is lost in that of the run. */
export function batchLines({ model, measurement: { timings }, cost }: Measured): string[] {
  const [alone] = timings
  const largest = timings.at(-1)
  const best = timings.find(({ rows }) => rows === cost.kneeRows)
  if (alone === undefined || largest === undefined || best === undefined || !model.batchable)
    return [`no: one event a run, ${showMicros(alone?.ms ?? 0)}`]
  const perRowMs = best.ms / best.rows
  const upTo = `yes, up to ${model.maxBatchRows} rows`
  const isMeasurable = cost.perRowMs * largest.rows > LEAST_SHARE * cost.fixedMs
  const lines = [
    isMeasurable || largest.rows === 1
      ? `${upTo}; t(b) ≈ ${showMicros(cost.fixedMs)} + ${showMicros(cost.perRowMs)} · b`
      : `${upTo}; a run of ${largest.rows} takes hardly longer than one of 1, ${showMicros(cost.fixedMs)}: the share of a row is too small to measure`,
    `knee at ${best.rows} rows: ${showMicros(perRowMs)} a row, ${(alone.ms / perRowMs).toFixed(1)} times less than alone`,
  ]
  if (best.rows > model.maxBatchRows)
    lines.push(`batching: {maxRows: ${best.rows}} in the manifest would make a row cheaper`)
  return lines
}

function shownPrediction(checked: CheckedModel): string {
  const { prediction, outputs } = checked.measurement
  if (prediction === undefined)
    return `${outputs.map((output) => `${output.name} ${showType(output)}`).join(', ')}: too much to show`
  const text = predictionText(checked)
  return text.length <= SHOWN_PREDICTION ? text : `${text.slice(0, SHOWN_PREDICTION - 1)}…`
}

function predictionText({ model, measurement }: CheckedModel): string {
  const { body } = encodeResponse({
    modelName: model.name,
    modelVersion: model.version,
    outputs: measurement.prediction ?? [],
  })
  return Buffer.from(body).toString()
}

function showSpec(spec: TensorSpec): string {
  return `${spec.name} ${showType(spec)}`
}

/** A duration in microseconds, or nanoseconds where those would be none. */
/** What workers measured last: rows of a batch, and the cost of a run. */
export function showCalibrated([last, ...others]: readonly KnownCost[]): string {
  if (last === undefined) return '-'
  const cost = `${showMicros(last.fixedMs)} + ${showMicros(last.perRowMs)} · b`
  return `${last.batchRows} rows, ${cost}${others.length > 0 ? ` (of ${others.length + 1})` : ''}`
}

function showMicros(ms: number): string {
  if (ms < 0.0001) return `${Math.round(ms * 1_000_000)} ns`
  return `${(ms * 1_000).toFixed(ms < 0.01 ? 1 : 0)} µs`
}
