import type { InferenceThreads } from '../../../shared/models/inference-threads.ts'
import { seeModels } from '../../../shared/models/models-page.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { Batch } from '../prepare/prepared.ts'

/** Between two looks: while something runs, and while nothing does. */
const [BUSY_MS, IDLE_MS] = [250, 1_000]

/**
 * Looks for runs that have kept their threads beyond the time limits of their models. Such a run cannot be cancelled (a
 * graph can loop for ever): whoever is told gives its thread up, or is told again.
 *
 * @param running the batches that run: they know their models, whatever is served by now
 * @returns stops looking
 */
export function watchRuns(
  threads: Pick<InferenceThreads, 'running'>,
  running: () => Iterable<Batch>,
  onHung: (model: ServedModel) => void,
): () => void {
  let timer: NodeJS.Timeout
  const look = (): void => {
    const runs = threads.running
    timer = setTimeout(look, runs.length > 0 ? BUSY_MS : IDLE_MS).unref()
    for (const model of hungModels(runs, [...running()])) onHung(model)
  }
  timer = setTimeout(look, IDLE_MS).unref()
  return () => clearTimeout(timer)
}

/** The models that have a run beyond their limit, each once. */
function hungModels(runs: InferenceThreads['running'], batches: readonly Batch[]): Set<ServedModel> {
  const hung = new Set<ServedModel>()
  for (const { key, runningMs } of runs) {
    const model = batches.find(([first]) => first?.model.key === key)?.[0]?.model
    if (model !== undefined && runningMs > model.manifest.limits.timeoutMs) hung.add(model)
  }
  return hung
}

/** Why a run that does not end is given up. */
export function timedOut({ manifest }: ServedModel): PeltonError {
  const { timeoutMs } = manifest.limits
  return new PeltonError('timed-out', `the model did not answer within ${timeoutMs} ms`, {
    field: 'limits.timeoutMs',
    remedy: `Raise the limit in the manifest, or mend the model. ${seeModels('limits-and-retries')}`,
  })
}
