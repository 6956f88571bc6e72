import type { InferenceThreads } from './models/inference-threads.ts'
import type { ServedModel } from './models/repository.ts'

const CHECK_MS = 250

/**
 * Looks for a run that has kept its thread beyond its model's time limit. Such a run cannot be cancelled (a graph can
 * loop for ever), so it is reported once: whoever is told ends the process.
 *
 * @returns stops looking
 */
export function watchRuns(
  threads: Pick<InferenceThreads, 'longestRun'>,
  models: readonly ServedModel[],
  onHung: (model: ServedModel, runningMs: number) => void,
): () => void {
  const byKey = new Map(models.map((model) => [model.key, model]))
  const timer = setInterval(() => {
    const run = threads.longestRun
    const model = run && byKey.get(run.key)
    if (run === undefined || model === undefined || run.runningMs <= model.manifest.limits.timeoutMs) return
    clearInterval(timer)
    onHung(model, run.runningMs)
  }, CHECK_MS)
  timer.unref()
  return () => clearInterval(timer)
}
