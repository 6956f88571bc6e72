import type { InferenceThreads } from '../../../shared/models/inference-threads.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import type { Batch } from '../prepare/prepared.ts'
import type { ApartModels } from './apart-models.ts'
import { timedOut, watchRuns } from './watchdog.ts'

export interface HungRunsDeps {
  readonly threads: Pick<InferenceThreads, 'running' | 'forsake'>
  readonly apart: ApartModels
  /** The batches that run. */
  readonly running: () => Iterable<Batch>
  /** Told of a model that has a run which does not end. */
  readonly onHung: (model: ServedModel) => void
  /** Stores a mark for each event that runs: whoever is handed it runs it alone. */
  readonly accuse: (batch: Batch) => void
  /** The model runs apart, and the threads of its endless runs are given up: this process can only be killed. */
  readonly onForsaken: (model: ServedModel) => void
  /** Owns work nobody awaits. */
  readonly own: (work: () => Promise<void>) => void
}

/**
 * Sees to runs that do not end, and cannot be cancelled. From the first of a model on that model runs apart, as the pool is
 * told before anybody is handed one of its events; then its threads are given up. An event that ran alone is timed out
 * by that; several that ran together are handed on, and run one by one.
 *
 * @returns stops looking for them
 */
export function seeToHungRuns(deps: HungRunsDeps): () => void {
  const seenTo = new Set<string>()
  const seeTo = async (model: ServedModel): Promise<void> => {
    deps.onHung(model)
    const isTold = await deps.apart.begin(model.name)
    const batches = [...deps.running()].filter(([first]) => first?.model.key === model.key)
    if (!isTold) deps.accuse(batches.flat())
    deps.threads.forsake(model.key, model.manifest.limits.timeoutMs, timedOut(model))
    seenTo.delete(model.key)
    deps.onForsaken(model)
  }
  return watchRuns(deps.threads, deps.running, (model) => {
    if (seenTo.has(model.key)) return
    seenTo.add(model.key)
    deps.own(() => seeTo(model))
  })
}
