import type { BatchTiming } from '../../../shared/models/batch-cost.ts'
import { startModelProcess } from '../../../shared/models/model-process.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'

export interface MeasureRequest {
  readonly path: string
  /** One row, or what the model takes for one run. */
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly string[]
  /** Largest batch to try; 1 for a model whose rows may not share a run. */
  readonly maxRows: number
}

/** What running a model in a process of its own showed. */
export interface Measurement {
  readonly loadMs: number
  /** Resident memory it added once it had run one row. */
  readonly memoryBytes: number
  readonly timings: readonly BatchTiming[]
  /** Datatypes and shapes of its outputs for one row. */
  readonly outputs: readonly Pick<Tensor, 'name' | 'datatype' | 'shape'>[]
  /** The outputs themselves; undefined where they are too many values to be read by anyone. */
  readonly prediction: readonly Tensor[] | undefined
}

export type MeasureAnswer =
  | { readonly kind: 'measured'; readonly measurement: Measurement }
  | { readonly kind: 'failed'; readonly text: string }

/** All runs of a measurement may take three times as long as the inspection of the model. */
const INSPECTIONS = 3

export interface MeasureOptions {
  /** How long its inspection may take, `PELTON_INSPECT_MS`. */
  readonly inspectMs: number
  /** Ends it. */
  readonly signal: AbortSignal
}

/**
 * Measures one model in a process of its own.
 *
 * @throws PeltonError `inference-failed` with the reason when it fails, ends its process, or takes longer than it may
 */
export async function measureModel(
  request: MeasureRequest,
  { inspectMs, signal }: MeasureOptions,
): Promise<Measurement> {
  const child = startModelProcess(import.meta.url, 'measure-process')
  let verdict: string | undefined
  const kill = (why: string): void => {
    verdict ??= why
    child.kill('SIGKILL')
  }
  const onAbort = (): void => kill('it was stopped')
  signal.addEventListener('abort', onAbort)
  const timeLimitMs = INSPECTIONS * inspectMs
  const timer = setTimeout(
    () => kill(`it takes longer than ${timeLimitMs / 1_000} s, three times PELTON_INSPECT_MS`),
    timeLimitMs,
  )
  try {
    const answer = await new Promise<MeasureAnswer>((resolve) => {
      child.once('message', (message) => resolve(message as MeasureAnswer))
      child.once('error', ({ message }) => resolve({ kind: 'failed', text: message }))
      child.once('exit', (code, killed) =>
        resolve({ kind: 'failed', text: verdict ?? `its process ended (${killed ?? `exit code ${code}`})` }),
      )
      child.send(request, () => undefined) // a child that ended is seen above
    })
    if (answer.kind === 'measured') return answer.measurement
    throw new PeltonError('inference-failed', answer.text)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    child.kill('SIGKILL')
  }
}
