import type { ApartRunner } from '../../../shared/models/apart-runner.ts'
import { findNonFinite } from '../../../shared/models/bind-tensors.ts'
import type { InferenceThreads } from '../../../shared/models/inference-threads.ts'
import { seeModels } from '../../../shared/models/models-page.ts'
import { binaryOutputsOf, encodeResponse } from '../../../shared/sdk/contract/open-inference.ts'
import { concatRows, sliceRows, type Tensor } from '../../../shared/sdk/contract/tensor.ts'
import { PeltonError, toPeltonError } from '../../../shared/sdk/errors.ts'
import { type Batch, type Prepared, rowsOf } from '../prepare/prepared.ts'
import { type Concluded, decideFailure, type Outcome } from '../settle/outcome.ts'
import { timedOut } from './watchdog.ts'

/** One model call for all rows of a batch: its outputs, whole. */
export type Run = (batch: Batch) => Promise<readonly Tensor[]>

/**
 * Whether others may not be made to wait for a batch that begins with this event: it may have any slot. Not so what came
 * by lane `low`, and what is of a model whose last runs were long.
 */
export function isUrgent({ delivery, model }: Prepared, threads: Pick<InferenceThreads, 'isSlow'>): boolean {
  return delivery.event.route.lane !== 'low' && !threads.isSlow(model.key)
}

/** Where batches run. */
export interface Executors {
  readonly threads: Pick<InferenceThreads, 'run' | 'isSlow'>
  /** Models of which a run did not end go there, one event at a time. */
  readonly apart: Pick<ApartRunner, 'run'>
  readonly isApart: (model: string) => boolean
}

/** Runs batches, the inputs of their events joined: on threads, or in the process of a model that runs apart. */
export function runOn({ threads, apart, isApart }: Executors): Run {
  return async (batch) => {
    const [first] = batch
    if (first === undefined) return []
    const { model } = first
    const inputs = batch.length === 1 ? first.inputs : joinInputs(batch, first)
    if (!isApart(model.name)) return threads.run(model, inputs, { isUrgent: isUrgent(first, threads) })
    const { timeoutMs } = model.manifest.limits
    return apart.run(model, inputs, { timeoutMs, onTimeout: () => timedOut(model) })
  }
}

function joinInputs(batch: Batch, first: Prepared): readonly Tensor[] {
  return first.inputs.map((_input, index) => concatRows(batch.map((item) => item.inputs[index] as Tensor)))
}

/**
 * Runs a batch and says what is to become of each of its events. A batch that fails is halved until the bad events
 * stand alone: their neighbours get their predictions. Rejects with `timed-out` where several ran together and did not end:
 * none of them is known to be the culprit.
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
    if (isTimedOut(thrown)) throw thrown
    const middle = Math.ceil(batch.length / 2)
    const halves = [batch.slice(0, middle), batch.slice(middle)]
    return (await Promise.all(halves.map((half) => predict(half, run, now)))).flat()
  }
}

/** Whether a run was given up because it did not end. */
export function isTimedOut(thrown: unknown): boolean {
  return thrown instanceof PeltonError && thrown.code === 'timed-out'
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
