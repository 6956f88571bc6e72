import { Tensor as RuntimeTensor } from 'onnxruntime-node'
import { audit } from '../../../shared/operations/audit/audit.ts'
import { reportLines } from '../../../shared/operations/audit/report-lines.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { readResult } from '../../../shared/sdk/result.ts'
import { recordsOf } from '../../kit/outcomes.ts'
import type { Stage } from '../../scale/stage.ts'
import { type BareModel, type Features, openBareModel } from './bare-model.ts'
import { INPUT } from './onnx-file.ts'

/** What one output of a model is for one event. */
export type Value = number | bigint

/** The model's own answers: an output by name for each row. */
export type Truth = readonly ReadonlyMap<string, Value>[]

/** Asks the bare runtime about each row by itself, as nobody shares a batch with it. */
export async function ownAnswers(path: string, rows: readonly Features[]): Promise<Truth> {
  const model = await openBareModel(path)
  return answersTo(
    model,
    rows.map((row) => model.feeds([row])),
  )
}

/** The same of a model that takes a row as one tensor. */
export async function ownAnswersToRows(path: string, rows: readonly Float32Array[]): Promise<Truth> {
  const model = await openBareModel(path)
  return answersTo(
    model,
    rows.map((row) => ({ [INPUT]: new RuntimeTensor('float32', row, [1, row.length]) })),
  )
}

async function answersTo(
  model: BareModel,
  asked: readonly Parameters<BareModel['run']>[0][],
): Promise<Truth> {
  const truth: ReadonlyMap<string, Value>[] = []
  for (const feeds of asked) {
    const outputs = await model.run(feeds)
    truth.push(new Map(model.outputs.map((name, index) => [name, outputs[index]?.data[0] as Value])))
  }
  return truth
}

/**
 * Why a stage of a drain does not count: an event without its outcome, an outcome that is not the model's own to the last
 * bit, or what the audit finds. Event n is `event-<n>`, with row n of the truth, which begins again at its end.
 *
 * @returns `undefined` where all is as it has to be
 */
export async function whyVoid(
  stage: Stage,
  truth: Truth,
  events: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const problem = await wrongAnswer(stage, truth, events)
  if (problem !== undefined) return problem
  const { report } = await audit(stage.connection, { deep: true, full: true, signal })
  if (report.clean) return undefined
  return `the audit is not clean: ${reportLines(report)[0]?.text ?? ''}`
}

/** The first answer that is missing, doubled or not the model's own. */
export async function wrongAnswer(
  { connection }: Pick<Stage, 'connection'>,
  truth: Truth,
  events: number,
): Promise<string | undefined> {
  const seen = new Uint8Array(events)
  let answered = 0
  for await (const { subject, headers, body } of recordsOf(connection, STREAMS.results)) {
    const result = readResult(subject, headers, body)
    if (result?.kind !== 'prediction') return `${subject} is no prediction`
    const index = Number(result.id.slice(result.id.lastIndexOf('-') + 1))
    const wanted = truth[index % truth.length]
    if (wanted === undefined || !(index < events)) return `${result.id} is not an event of this run`
    if (seen[index] === 1) return `${result.id} has two answers`
    const difference = differenceOf(result.outputs, wanted)
    if (difference !== undefined) return `${result.id}: ${difference}`
    seen[index] = 1
    answered++
  }
  return answered < events ? `${events - answered} of ${events} events have no answer` : undefined
}

/** Exact, with any NaN equal to any other. */
export function differenceOf(
  outputs: readonly Tensor[],
  wanted: ReadonlyMap<string, Value>,
): string | undefined {
  if (outputs.length !== wanted.size) return `${outputs.length} outputs, not ${wanted.size}`
  for (const { name, data } of outputs) {
    const value = data[0]
    if (data.length !== 1 || !Object.is(value, wanted.get(name)))
      return `${name} is ${String(value)}, and ${String(wanted.get(name))} by the model itself`
  }
  return undefined
}
