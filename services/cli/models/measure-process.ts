import { openSession, type Session } from '../../../shared/models/session.ts'
import { concatRows, type Tensor } from '../../../shared/sdk/contract/tensor.ts'
import type { BatchTiming } from './knee.ts'
import type { MeasureAnswer, Measurement, MeasureRequest } from './measure.ts'

/** A size is timed at least this often, and until this much time went by. */
const LEAST_RUNS = 5
const LEAST_MS = 40
/** Growing ends where all sizes together would take longer. */
const BUDGET_MS = 8_000

/** The entry of a process that measures one model: a run can be neither interrupted nor kept from crashing. */
async function main(): Promise<void> {
  process.once('disconnect', () => process.exit(0))
  const request = await new Promise<MeasureRequest>((resolve) => process.once('message', resolve as never))
  const answer = await measure(request).then(
    (measurement): MeasureAnswer => ({ kind: 'measured', measurement }),
    (thrown: unknown): MeasureAnswer => ({
      kind: 'failed',
      text: thrown instanceof Error ? thrown.message : String(thrown),
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
  const timings = await timeSizes(session, inputs, maxRows)
  return { loadMs, timings, prediction, memoryBytes: Math.max(0, process.memoryUsage.rss() - before) }
}

async function timeSizes(
  session: Session,
  inputs: readonly Tensor[],
  maxRows: number,
): Promise<BatchTiming[]> {
  const timings: BatchTiming[] = []
  const started = performance.now()
  for (let rows = 1; rows <= maxRows; rows *= 2) {
    const batch =
      rows === 1 ? inputs : inputs.map((input) => concatRows(Array.from({ length: rows }, () => input)))
    timings.push({ rows, ms: await timeRuns(session, batch) })
    if (performance.now() - started > BUDGET_MS) break
  }
  return timings
}

/** The fastest of several runs: everything that disturbs a run makes it slower. */
async function timeRuns(session: Session, inputs: readonly Tensor[]): Promise<number> {
  await session.run(inputs)
  let fastest = Number.POSITIVE_INFINITY
  const until = performance.now() + LEAST_MS
  for (let runs = 0; runs < LEAST_RUNS || performance.now() < until; runs++) {
    const started = performance.now()
    await session.run(inputs)
    fastest = Math.min(fastest, performance.now() - started)
  }
  return fastest
}

await main()
