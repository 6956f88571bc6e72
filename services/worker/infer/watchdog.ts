import type { InferenceThreads } from '../../../shared/models/inference-threads.ts'
import { seeModels } from '../../../shared/models/models-page.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { Batch } from '../prepare/prepared.ts'

const CHECK_MS = 250

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
  const timer = setInterval(() => {
    for (const model of hungModels(threads.running, [...running()])) onHung(model)
  }, CHECK_MS)
  timer.unref()
  return () => clearInterval(timer)
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
