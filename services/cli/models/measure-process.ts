import type { BatchTiming } from '../../../shared/models/batch-cost.ts'
import { openSession, type Session } from '../../../shared/models/session.ts'
import { concatRows, type Tensor } from '../../../shared/sdk/contract/tensor.ts'
import { messageOf, PeltonError } from '../../../shared/sdk/errors.ts'
import type { MeasureAnswer, Measurement, MeasureRequest } from './measure.ts'

/** A size is timed at least this often, and until this much time went by. */
const LEAST_RUNS = 5
const LEAST_MS = 40
/** Growing ends where all sizes together take longer, and runs of one size where they take half of it. */
const BUDGET_MS = 8_000
/** Growing ends where the process has this much more memory than with one row. */
const BUDGET_BYTES = 2 ** 30
/** A prediction of more values, or more characters of text, is not shown. */
const SHOWN_VALUES = 10_000
const SHOWN_CHARACTERS = 100_000

/** The entry of a process that measures one model: a run can be neither interrupted nor kept from crashing. */
async function main(): Promise<void> {
  process.once('disconnect', () => process.exit(0))
  const request = await new Promise<MeasureRequest>((resolve) => process.once('message', resolve as never))
  const answer = await measure(request).then(
    (measurement): MeasureAnswer => ({ kind: 'measured', measurement }),
    (thrown: unknown): MeasureAnswer => ({
      kind: 'failed',
      text: reasonOf(thrown),
    }),
  )
  process.send?.(answer, () => process.exit(0))
}

async function measure({ path, inputs, outputs, maxRows }: MeasureRequest): Promise<Measurement> {
  await import('onnxruntime-node') // its own memory is not the model's
  const before = process.memoryUsage.rss()
  const started = performance.now()
  const session = await openSession(path)
  const loadMs = performance.now() - started
  const prediction = await session.run(inputs, outputs)
  const memoryBytes = Math.max(0, process.memoryUsage.rss() - before)
  return {
    loadMs,
    memoryBytes,
    timings: await timeSizes(session, inputs, maxRows),
    outputs: prediction.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    prediction: canBeShown(prediction) ? prediction : undefined,
  }
}

/** Known from shapes before anything is encoded. */
function canBeShown(prediction: readonly Tensor[]): boolean {
  let [values, characters] = [0, 0]
  for (const { datatype, data } of prediction) {
    values += data.length
    if (values > SHOWN_VALUES) return false
    if (datatype === 'BYTES') for (const text of data as string[]) characters += text.length // held by strings
  }
  return characters <= SHOWN_CHARACTERS
}

async function timeSizes(
  session: Session,
  inputs: readonly Tensor[],
  maxRows: number,
): Promise<BatchTiming[]> {
  const timings: BatchTiming[] = []
  const started = performance.now()
  const before = process.memoryUsage.rss()
  for (let rows = 1; rows <= maxRows; rows *= 2) {
    const batch =
      rows === 1 ? inputs : inputs.map((input) => concatRows(Array.from({ length: rows }, () => input)))
    timings.push({ rows, ms: await timeRuns(session, batch) })
    if (performance.now() - started > BUDGET_MS) break
    if (process.memoryUsage.rss() - before > BUDGET_BYTES) break
  }
  return timings
}

/** The fastest of several runs: everything that disturbs a run makes it slower. */
async function timeRuns(session: Session, inputs: readonly Tensor[]): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY
  const began = performance.now()
  for (let runs = 0; runs < LEAST_RUNS || performance.now() - began < LEAST_MS; runs++) {
    const started = performance.now()
    await session.run(inputs)
    fastest = Math.min(fastest, performance.now() - started)
    if (performance.now() - began > BUDGET_MS / 2) break
  }
  return fastest
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof PeltonError) return thrown.description
  return messageOf(thrown)
}

await main()
