import { concatRows, elementCount, type Tensor } from '../sdk/contract/tensor.ts'
import { type Calibration, calibrate, isPastKnee, type SizeTiming, sizesUpTo } from './calibration.ts'
import { generateRow } from './generated-rows.ts'
import type { RunCost } from './inference-threads.ts'
import type { ServedModel } from './repository.ts'
import { workOfElement } from './work.ts'

/** A size is run this often at least, and until this much time went by, unless that takes too long. */
const LEAST_RUNS = 5
const LEAST_MS = 2
/** Then all sizes are run in turn so often. */
const ROUNDS = 5
/** No more runs of one size once they have taken so long, milliseconds. */
const SIZE_MS = 100
/** Short runs are easily disturbed: so many rows are tried whatever the smaller sizes say, unless their run takes as long. */
const LEAST_ROWS = 16
const SHORT_RUN_MS = 5
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
export function canBeMeasured(model: ServedModel): boolean {
  const { batchable, maxBatchRows, trial } = model
  return batchable && maxBatchRows > 1 && 'shapes' in trial && bytesOfRow(model) * 2 <= MOST_BYTES
}

/**
 * Measures what a run costs by its rows: 1, 2, 4 … of those that the inspection tries a model with, until a row gets no
 * cheaper; then all these sizes in turn, so that what disturbs for a while disturbs all of them. Of each size the quickest run counts, since whatever disturbs a run makes it slower.
 *
 * @returns undefined where it was given up. Rejects as a run does
 */
export async function measureCost(
  model: ServedModel,
  { run }: MeasuringOptions,
): Promise<Calibration | undefined> {
  const sizes: Size[] = []
  for (const rows of sizesUpTo(model.maxBatchRows)) {
    const expectedMs = 2 * (sizes.at(-1)?.ms ?? 0)
    if (rows > 1 && (expectedMs > LONGEST_RUN_MS || bytesOfRow(model) * rows > MOST_BYTES)) break
    const size = newSize(rows, rowsFor(model, rows), expectedMs)
    while (isUnfinished(size)) if (!(await runOnce(size, run))) return undefined
    sizes.push(size)
    if ((rows >= LEAST_ROWS || size.ms >= SHORT_RUN_MS) && isPastKnee(sizes)) break
  }
  for (let round = 0; round < ROUNDS; round++)
    for (const size of sizes.filter(isQuick)) if (!(await runOnce(size, run))) return undefined
  return calibrate(sizes, model.maxBatchRows)
}

/** One size, and what its runs have shown so far. */
interface Size extends SizeTiming {
  readonly inputs: readonly Tensor[]
  expectedMs: number
  ms: number
  handOverMs: number
  runs: number
  spentMs: number
}

function newSize(rows: number, inputs: readonly Tensor[], expectedMs: number): Size {
  const none = Number.POSITIVE_INFINITY
  return { rows, inputs, expectedMs, ms: none, handOverMs: none, runs: 0, spentMs: 0 }
}

function isUnfinished({ runs, spentMs }: Size): boolean {
  return runs < LEAST_RUNS ? spentMs < SIZE_MS : spentMs < LEAST_MS
}

function isQuick({ spentMs }: Size): boolean {
  return spentMs < SIZE_MS
}

/** @returns whether it was run */
async function runOnce(size: Size, run: MeasuringOptions['run']): Promise<boolean> {
  const cost = await run(size.inputs, size.expectedMs)
  if (cost === undefined) return false
  size.runs++
  size.spentMs += cost.runMs
  size.ms = Math.min(size.ms, cost.runMs)
  size.handOverMs = Math.min(size.handOverMs, Math.max(0, cost.tookMs - cost.runMs))
  size.expectedMs = size.ms
  return true
}

/** As `workOf` counts it, of texts of a letter each. Known before anything is made. */
function bytesOfRow({ signature, trial }: ServedModel): number {
  if (!('shapes' in trial)) return 0
  const each = signature.inputs.map(
    ({ datatype }, input) =>
      elementCount(trial.shapes[input] ?? []) * (workOfElement(datatype) + (datatype === 'BYTES' ? 1 : 0)),
  )
  return each.reduce((sum, bytes) => sum + bytes, 0)
}

function rowsFor({ signature, trial }: ServedModel, rows: number): readonly Tensor[] {
  if (!('shapes' in trial)) return []
  const each = Array.from({ length: rows }, (_, row) => generateRow(signature.inputs, trial.shapes, row))
  return signature.inputs.map((_, input) => concatRows(each.map((row) => row[input] as Tensor)))
}
