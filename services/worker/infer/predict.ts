import type { ApartRunner } from '../../../shared/models/apart-runner.ts'
import { type Answer, type AnswerPart, tooLargeByShape, writeAnswers } from '../../../shared/models/codec.ts'
import type { InferenceThreads } from '../../../shared/models/inference-threads.ts'
import { isWithheld } from '../../../shared/models/withheld.ts'
import { Turns } from '../../../shared/runtime/turns.ts'
import { binaryOutputsOf } from '../../../shared/sdk/contract/open-inference.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
import { PeltonError, toPeltonError } from '../../../shared/sdk/errors.ts'
import { type Batch, type Prepared, rowsOf } from '../prepare/prepared.ts'
import { type Concluded, decideFailure } from '../settle/outcome.ts'
import { joinInputs } from './join.ts'
import type { UnavailableModels } from './unavailable.ts'
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
  /** What the broker takes of one answer, bytes. @default any size */
  readonly maxBytes?: () => number
}

/** Runs batches, the inputs of their events joined: on threads, or in the process of a model that runs apart. */
export function runOn(
  { threads, apart, isApart, maxBytes = () => Number.POSITIVE_INFINITY }: Executors,
  turns: Pick<Turns, 'spend'> = new Turns(),
): Run {
  return async (batch) => {
    const [first] = batch
    if (first === undefined) return []
    const { model } = first
    const inputs = await joinInputs(batch, turns)
    const bound = { maxBytes: maxBytes(), leastRows: leastRowsOf(batch) }
    if (!isApart(model.name)) return threads.run(model, inputs, { isUrgent: isUrgent(first, threads), bound })
    const { timeoutMs } = model.manifest.limits
    return apart.run(model, inputs, { timeoutMs, bound, onTimeout: () => timedOut(model) })
  }
}

/** Rows of the smallest event; undefined where one event has all of them. */
function leastRowsOf(batch: Batch): number | undefined {
  if (batch.length === 1) return undefined
  let least = Number.POSITIVE_INFINITY
  for (const { rows } of batch) least = Math.min(least, rows)
  return least
}

/** How answers are written. */
export interface Answering {
  /** What the broker takes of one message, bytes. */
  readonly maxBytes: () => number
  /** Writes the answers to a batch, one for each part. */
  readonly answer: (
    outputs: readonly Tensor[],
    parts: readonly AnswerPart[],
  ) => readonly Answer[] | Promise<readonly Answer[]>
}

const HERE: Answering = { maxBytes: () => Number.POSITIVE_INFINITY, answer: writeAnswers }

/** Notes which models could not be opened. */
export function noting(unavailable: Pick<UnavailableModels, 'add'>, run: Run): Run {
  return async (batch) => {
    try {
      return await run(batch)
    } catch (thrown) {
      const [first] = batch
      if (first !== undefined && isUnavailable(thrown)) unavailable.add(first.model, thrown.message)
      throw thrown
    }
  }
}

/**
 * Runs a batch and says what is to become of each of its events. A batch that fails is halved until the bad events
 * stand alone: their neighbours get their predictions. Where the model cannot be opened, all of them wait for it. Rejects
 * with `timed-out` where several ran together and did not end: none of them is known to be the culprit.
 *
 * @param now broker time, milliseconds since 1970
 * @param answering who writes the answers. @default at once, whatever size they have
 */
export async function predict(
  batch: Batch,
  run: Run,
  now: () => number,
  answering: Answering = HERE,
): Promise<Concluded[]> {
  const startedAt = now()
  const started = performance.now()
  try {
    const outputs = await run(batch)
    refuseOtherRows(outputs, batch)
    const inferenceMs = performance.now() - started
    const facts = { startedAt, endedAt: now(), inferenceMs, batchRows: rowsOf(batch) }
    const answers = await answerAll(batch, outputs, answering)
    return batch.map((item, index) => conclude(item, answers[index], facts))
  } catch (thrown) {
    if (isUnavailable(thrown)) return batch.map(({ delivery }) => waitFor(delivery, thrown))
    const [only] = batch
    if (batch.length === 1 && only !== undefined) return [fail(only, thrown, now())]
    if (isTimedOut(thrown)) throw thrown
    const middle = Math.ceil(batch.length / 2)
    const halves = [batch.slice(0, middle), batch.slice(middle)]
    return (await Promise.all(halves.map((half) => predict(half, run, now, answering)))).flat()
  }
}

/** Whether a run was given up because it did not end. */
export function isTimedOut(thrown: unknown): boolean {
  return thrown instanceof PeltonError && thrown.code === 'timed-out'
}

/** Whether a model could not be opened: that says nothing of the events it was to run. */
function isUnavailable(thrown: unknown): thrown is PeltonError {
  return thrown instanceof PeltonError && thrown.code === 'model-unavailable'
}

function waitFor(delivery: Prepared['delivery'], { description: text }: PeltonError): Concluded {
  return { delivery, outcome: { kind: 'not-servable', why: { cause: 'unavailable', text } } }
}

/** @throws PeltonError `invalid-output` where there are not as many rows as went in: nobody knows whose they are */
function refuseOtherRows(outputs: readonly Tensor[], batch: Batch): void {
  if (batch.length === 1) return
  const rows = rowsOf(batch)
  const strange = outputs.find(({ shape }) => shape[0] !== rows)
  if (strange === undefined) return
  const { name, shape } = strange
  throw new PeltonError('invalid-output', `output ${name} has shape [${shape}] for ${rows} rows`)
}

/**
 * The answer to each event, or why there is none. One that cannot be stored, as the shapes tell, is refused before
 * anything is written: with none left nothing is.
 */
async function answerAll(
  batch: Batch,
  outputs: readonly Tensor[],
  { maxBytes, answer }: Answering,
): Promise<readonly Answer[]> {
  const most = maxBytes()
  const parts = batch.map((item) => partOf(item, most))
  const refused = refuseTooLarge(outputs, parts)
  if (refused.every((each) => each !== undefined)) return refused
  // Who asks for an output that was withheld is among the refused.
  const answers = await answer(outputs.some(isWithheld) ? outputs.filter(isKept) : outputs, parts)
  return answers.map((each, index) => refused[index] ?? each)
}

function isKept(output: Tensor): boolean {
  return !isWithheld(output)
}

/** Of the events of a batch most ask for the same, and one look is enough for all of those. */
function refuseTooLarge(
  outputs: readonly Tensor[],
  parts: readonly AnswerPart[],
): readonly (PeltonError | undefined)[] {
  let last: AnswerPart | undefined
  let refusal: PeltonError | undefined
  return parts.map((part) => {
    if (last === undefined || !hasShapeOf(last, part))
      refusal = tooLargeByShape(outputs, part, parts.length === 1)
    last = part
    return refusal
  })
}

function hasShapeOf(one: AnswerPart, other: AnswerPart): boolean {
  const { rows, names, binary, maxBytes } = other
  return one.rows === rows && one.names === names && one.binary === binary && one.maxBytes === maxBytes
}

function partOf({ delivery, model, request, outputs: names, rows }: Prepared, maxBytes: number): AnswerPart {
  return {
    rows,
    modelName: model.name,
    modelVersion: model.version,
    id: request.id ?? delivery.event.id,
    names,
    binary: binaryOutputsOf(request),
    areFinite: model.manifest.checks.finiteOutputs,
    maxBytes,
  }
}

interface RunFacts {
  /** Broker time, milliseconds since 1970. */
  readonly startedAt: number
  readonly endedAt: number
  readonly inferenceMs: number
  readonly batchRows: number
}

function conclude(item: Prepared, answer: Answer | undefined, run: RunFacts): Concluded {
  if (answer === undefined || answer instanceof PeltonError) return fail(item, answer, run.endedAt)
  const { delivery, model } = item
  const facts = {
    modelVersion: model.version,
    contentType: answer.contentType,
    inferenceHeaderLength: answer.inferenceHeaderLength,
    queueMs: Math.max(0, run.startedAt - delivery.info.storedAt),
    inferenceMs: run.inferenceMs,
    batchRows: run.batchRows,
  }
  return { delivery, outcome: { kind: 'predicted', facts, body: answer.body } }
}

function fail({ delivery, model }: Prepared, thrown: unknown, now: number): Concluded {
  const error = toPeltonError(thrown, 'inference-failed', 'the model failed on this event')
  // The model has answered: it is the answer that cannot be published.
  const stage = error.code === 'too-large' ? 'publish' : 'infer'
  const outcome = decideFailure(error, stage, { ...delivery.event, now }, model.manifest.retries)
  return { delivery, outcome: { ...outcome, modelVersion: model.version } }
}
