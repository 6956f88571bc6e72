import { findNonFinite } from '../../../shared/models/bind-tensors.ts'
import type { InferenceThreads } from '../../../shared/models/inference-threads.ts'
import { seeModels } from '../../../shared/models/models-page.ts'
import { binaryOutputsOf, encodeResponse } from '../../../shared/sdk/contract/open-inference.ts'
import { concatRows, sliceRows, type Tensor } from '../../../shared/sdk/contract/tensor.ts'
import { PeltonError, toPeltonError } from '../../../shared/sdk/errors.ts'
import { type Batch, type Prepared, rowsOf } from '../prepare/prepared.ts'
import { type Concluded, decideFailure, type Outcome } from '../settle/outcome.ts'

/** One model call for all rows of a batch: its outputs, whole. */
export type Run = (batch: Batch) => Promise<readonly Tensor[]>

/** Runs batches on threads, the inputs of their events joined. */
export function runOn(threads: Pick<InferenceThreads, 'run'>): Run {
  return async (batch) => {
    const [first] = batch
    if (first === undefined) return []
    if (batch.length === 1) return threads.run(first.model, first.inputs)
    const inputs = first.inputs.map((_input, index) =>
      concatRows(batch.map((item) => item.inputs[index] as Tensor)),
    )
    return threads.run(first.model, inputs)
  }
}

/**
 * Runs a batch and says what is to become of each of its events. A batch that fails is halved until the bad events
 * stand alone: their neighbours get their predictions.
 *
 * @param now broker time, milliseconds since 1970
 */
export async function predict(batch: Batch, run: Run, now: () => number): Promise<Concluded[]> {
  const startedAt = now()
  const started = performance.now()
  try {
    const outputs = split(await run(batch), batch)
    const inferenceMs = performance.now() - started
    const facts = { startedAt, endedAt: now(), inferenceMs, batchRows: rowsOf(batch) }
    return batch.map((item, index) => conclude(item, outputs[index] ?? [], facts))
  } catch (thrown) {
    const [only] = batch
    if (batch.length === 1 && only !== undefined) return [fail(only, thrown, now())]
    const middle = Math.ceil(batch.length / 2)
    const halves = [batch.slice(0, middle), batch.slice(middle)]
    return (await Promise.all(halves.map((half) => predict(half, run, now)))).flat()
  }
}

/** The outputs of each event. @throws PeltonError `invalid-output` where there are not as many rows as went in */
function split(outputs: readonly Tensor[], batch: Batch): readonly (readonly Tensor[])[] {
  if (batch.length === 1) return [outputs]
  const rows = rowsOf(batch)
  const strange = outputs.find(({ shape }) => shape[0] !== rows)
  if (strange !== undefined) {
    throw new PeltonError(
      'invalid-output',
      `output ${strange.name} has shape [${strange.shape}] for ${rows} rows`,
    )
  }
  let start = 0
  return batch.map((item) => {
    const mine = outputs.map((output) => sliceRows(output, start, start + item.rows))
    start += item.rows
    return mine
  })
}

interface RunFacts {
  /** Broker time, milliseconds since 1970. */
  readonly startedAt: number
  readonly endedAt: number
  readonly inferenceMs: number
  readonly batchRows: number
}

function conclude(item: Prepared, outputs: readonly Tensor[], run: RunFacts): Concluded {
  try {
    return { delivery: item.delivery, outcome: toPrediction(item, outputs, run) }
  } catch (thrown) {
    return fail(item, thrown, run.endedAt)
  }
}

function toPrediction(
  { delivery, model, request, outputs: names }: Prepared,
  made: readonly Tensor[],
  run: RunFacts,
): Outcome {
  const selected = names.flatMap((name) => made.filter((output) => output.name === name))
  if (model.manifest.checks.finiteOutputs) selected.forEach(refuseNonFinite)
  const response = encodeResponse(
    {
      modelName: model.name,
      modelVersion: model.version,
      id: request.id ?? delivery.event.id,
      outputs: selected,
    },
    { binary: binaryOutputsOf(request) },
  )
  const facts = {
    modelVersion: model.version,
    contentType: response.contentType,
    inferenceHeaderLength: response.inferenceHeaderLength,
    queueMs: Math.max(0, run.startedAt - delivery.info.storedAt),
    inferenceMs: run.inferenceMs,
    batchRows: run.batchRows,
  }
  return { kind: 'predicted', facts, body: response.body }
}

function refuseNonFinite({ name, datatype, data }: Tensor): void {
  const index = findNonFinite(datatype, data)
  if (index < 0) return
  throw new PeltonError('invalid-output', 'the model answered with a number that is not finite', {
    field: `outputs.${name}[${index}]`,
    value: String(data[index]),
    remedy: `Check the input, or allow it with checks.finiteOutputs: false. ${seeModels('checks')}`,
  })
}

function fail({ delivery, model }: Prepared, thrown: unknown, now: number): Concluded {
  const error = toPeltonError(thrown, 'inference-failed', 'the model failed on this event')
  const outcome = decideFailure(error, 'infer', { ...delivery.event, now }, model.manifest.retries)
  return { delivery, outcome: { ...outcome, modelVersion: model.version } }
}
