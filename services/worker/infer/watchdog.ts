import type { InferenceThreads } from '../../../shared/models/inference-threads.ts'
import { seeModels } from '../../../shared/models/models-page.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { Batch, Prepared } from '../prepare/prepared.ts'
import { type Concluded, decideFailure } from '../settle/outcome.ts'

const CHECK_MS = 250

/**
 * Looks for a run that has kept its thread beyond its model's time limit. Such a run cannot be cancelled (a graph can
 * loop for ever), so it is reported once: whoever is told ends the process.
 *
 * @param running the batches that run: they know their models, whatever is served by now
 * @returns stops looking
 */
export function watchRuns(
  threads: Pick<InferenceThreads, 'longestRun'>,
  running: () => Iterable<Batch>,
  onHung: (model: ServedModel, runningMs: number) => void,
): () => void {
  const timer = setInterval(() => {
    const run = threads.longestRun
    if (run === undefined) return
    const model = [...running()].find(([first]) => first?.model.key === run.key)?.[0]?.model
    if (model === undefined || run.runningMs <= model.manifest.limits.timeoutMs) return
    clearInterval(timer)
    onHung(model, run.runningMs)
  }, CHECK_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/** What becomes of an event that ran alone and did not end. @param now broker time, milliseconds */
export function timedOut({ delivery, model }: Prepared, now: number): Concluded {
  const { timeoutMs } = model.manifest.limits
  const error = new PeltonError('timed-out', `the model did not answer within ${timeoutMs} ms`, {
    field: 'limits.timeoutMs',
    remedy: `Raise the limit in the manifest, or mend the model. ${seeModels('limits-and-retries')}`,
  })
  return {
    delivery,
    outcome: {
      ...decideFailure(error, 'infer', { ...delivery.event, now }, model.manifest.retries),
      modelVersion: model.version,
    },
  }
}
