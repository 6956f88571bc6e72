import { fromHalfBits } from '../sdk/contract/float16.ts'
import { concatRows, rowsOf, sliceRows, type Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { generateRow, type RowShapes } from './generated-rows.ts'
import { hasDynamicRows, type Signature, type TensorSpec } from './signature.ts'

/** Generated inputs a model ran on, by their shapes, or why it ran on none. */
export type Trial = { readonly shapes: RowShapes } | { readonly problem: string }

/** What trying a model on generated inputs showed. */
export interface Probe {
  /** Whether rows of different events may share a run of the model. */
  readonly batchable: boolean
  /** Why not. */
  readonly reason?: string
  readonly trial: Trial
}

type Run = (inputs: readonly Tensor[]) => Promise<readonly Tensor[]>

const ROWS = 3
/** Sizes tried for free dimensions other than the first, until the model accepts one: column counts, lengths, sides. */
const SIZES = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 16, 20, 24, 28, 30, 32, 48, 64, 100, 128, 224, 256, 512,
]

/**
 * Tries the model on generated rows, one by one and all in one run. Rows may share a run when every output has a row
 * for each and gives what the row alone gives, to within 1e-5 of the largest value (half precision: 2e-3).
 * A model that fails on generated rows is not batchable; that says nothing against the model.
 *
 * @param guesses the model's inputs with sizes it leaves open filled in, the best guess first; what they still leave open
 *   is searched for
 * @param ranOn shapes a golden sample ran on: a model that joins no rows needs no other trial
 */
export async function probeModel(
  signature: Signature,
  guesses: readonly (readonly TensorSpec[])[],
  run: Run,
  ranOn?: RowShapes,
): Promise<Probe> {
  const isJoinable = hasDynamicRows(signature)
  const trial: Trial =
    ranOn !== undefined && !isJoinable
      ? { shapes: ranOn }
      : await findShapes([...guesses, signature.inputs], run)
  if (!isJoinable) return no('not every input has a free first dimension', trial)
  if ('problem' in trial) return no(`it fails on generated inputs (${trial.problem})`, trial)
  const rows = Array.from({ length: ROWS }, (_, row) => generateRow(signature.inputs, trial.shapes, row))
  try {
    const single: (readonly Tensor[])[] = []
    for (const row of rows) single.push(await run(row))
    const joined = signature.inputs.map((_, index) => concatRows(rows.map((row) => row[index] as Tensor)))
    const reason = compare(await run(joined), single)
    return reason === undefined ? { batchable: true, trial } : no(reason, trial)
  } catch (thrown) {
    return no(`it fails on generated inputs (${reasonOf(thrown)})`, trial)
  }
}

function no(reason: string, trial: Trial): Probe {
  return { batchable: false, reason, trial }
}

async function findShapes(guesses: readonly (readonly TensorSpec[])[], run: Run): Promise<Trial> {
  let problem = ''
  for (const inputs of guesses) {
    const hasFreeSize = inputs.some((input) => input.shape.slice(1).includes(null))
    for (const size of hasFreeSize ? SIZES : [1]) {
      const shapes = inputs.map(({ shape }) => shape.map((known, at) => known ?? (at === 0 ? 1 : size)))
      try {
        await run(generateRow(inputs, shapes, 0))
        return { shapes }
      } catch (thrown) {
        problem = reasonOf(thrown)
      }
    }
  }
  return { problem }
}

function compare(batch: readonly Tensor[], single: readonly (readonly Tensor[])[]): string | undefined {
  for (let output = 0; output < batch.length; output++) {
    const joined = batch[output] as Tensor // within the array
    if (joined.shape.length === 0 || rowsOf(joined) !== ROWS) {
      return `output ${joined.name} has no row for each row of the inputs`
    }
    for (let row = 0; row < ROWS; row++) {
      const alone = single[row]?.[output]
      if (alone === undefined || !isSameRow(sliceRows(joined, row, row + 1), alone)) {
        return `output ${joined.name} of a row depends on the other rows of its run, or changes from run to run`
      }
    }
  }
  return undefined
}

function isSameRow(left: Tensor, right: Tensor): boolean {
  if (left.data.length !== right.data.length || String(left.shape) !== String(right.shape)) return false
  if (left.datatype !== 'FP32' && left.datatype !== 'FP64' && left.datatype !== 'FP16') {
    return left.data.every((value: unknown, index: number) => value === right.data[index])
  }
  const [a, b] = [numbersOf(left), numbersOf(right)]
  const largest = a.reduce((most, value, index) => Math.max(most, finite(value), finite(b[index] ?? 0)), 0)
  const tolerance = largest * (left.datatype === 'FP16' ? 2e-3 : 1e-5)
  return a.every((value, index) => {
    const other = b[index] ?? 0
    return Object.is(value, other) || Math.abs(value - other) <= tolerance
  })
}

function finite(value: number): number {
  return Number.isFinite(value) ? Math.abs(value) : 0
}

function numbersOf({ datatype, data }: Tensor): number[] {
  const numbers = Array.from(data as Float64Array) // floats of one of three widths
  return datatype === 'FP16' ? numbers.map(fromHalfBits) : numbers
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof PeltonError ? thrown.description : String(thrown)
}
