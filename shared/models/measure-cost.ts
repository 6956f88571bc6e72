import { concatRows, type Tensor } from '../sdk/contract/tensor.ts'
import { type Calibration, calibrate, isPastKnee, type SizeTiming, sizesUpTo } from './calibration.ts'
import { generateRow } from './generated-rows.ts'
import type { RunCost } from './inference-threads.ts'
import type { ServedModel } from './repository.ts'
import { workOfAll } from './work.ts'

/** A size is run this often at least, and until this much time went by, unless that takes too long. */
const LEAST_RUNS = 5
const LEAST_MS = 10
/** No more runs of one size once they have taken so long, milliseconds. */
const SIZE_MS = 100
/** No larger size where a run is expected to take longer, milliseconds. */
const LONGEST_RUN_MS = 500
/** No larger size where its rows have more bytes: the loop makes them. */
const MOST_BYTES = 1024 ** 2

export interface MeasuringOptions {
  /**
   * Runs the model once, when that is in nobody's way.
   *
   * @param expectedMs how long it will take, as far as is known
   * @returns undefined where measuring is given up
   */
  readonly run: (inputs: readonly Tensor[], expectedMs: number) => Promise<RunCost | undefined>
}

/** Whether there is anything to choose for a model, and rows to measure it with. */
export function canBeMeasured({ batchable, maxBatchRows, trial }: ServedModel): boolean {
  return batchable && maxBatchRows > 1 && 'shapes' in trial
}

/**
 * Measures what a run costs by its rows: 1, 2, 4 … of those that the inspection tries a model with, one run after the
 * other, until a row gets no cheaper. Of each size the quickest run counts, since whatever disturbs a run makes it slower.
 *
 * @returns undefined where it was given up. Rejects as a run does
 */
export async function measureCost(
  model: ServedModel,
  { run }: MeasuringOptions,
): Promise<Calibration | undefined> {
  const timings: SizeTiming[] = []
  for (const rows of sizesUpTo(model.maxBatchRows)) {
    const inputs = rowsFor(model, rows)
    const expectedMs = 2 * (timings.at(-1)?.ms ?? 0)
    if (rows > 1 && (expectedMs > LONGEST_RUN_MS || workOfAll(inputs) > MOST_BYTES)) break
    const timing = await timeSize(rows, inputs, expectedMs, run)
    if (timing === undefined) return undefined
    timings.push(timing)
    if (isPastKnee(timings)) break
  }
  return calibrate(timings, model.maxBatchRows)
}

async function timeSize(
  rows: number,
  inputs: readonly Tensor[],
  expectedMs: number,
  run: MeasuringOptions['run'],
): Promise<SizeTiming | undefined> {
  let ms = Number.POSITIVE_INFINITY
  let handOverMs = Number.POSITIVE_INFINITY
  let spentMs = 0
  const isEnough = (runs: number): boolean => runs >= LEAST_RUNS && spentMs >= LEAST_MS
  for (let runs = 0; !isEnough(runs) && (runs === 0 || spentMs < SIZE_MS); runs++) {
    const cost = await run(inputs, runs === 0 ? expectedMs : ms)
    if (cost === undefined) return undefined
    ms = Math.min(ms, cost.runMs)
    // The first run of a model may have to open it.
    if (runs > 0) handOverMs = Math.min(handOverMs, cost.tookMs - cost.runMs)
    spentMs += cost.tookMs
  }
  return { rows, ms, handOverMs: Number.isFinite(handOverMs) ? Math.max(0, handOverMs) : 0 }
}

function rowsFor({ signature, trial }: ServedModel, rows: number): readonly Tensor[] {
  if (!('shapes' in trial)) return []
  const each = Array.from({ length: rows }, (_, row) => generateRow(signature.inputs, trial.shapes, row))
  return signature.inputs.map((_, input) => concatRows(each.map((row) => row[input] as Tensor)))
}
