import type { Span } from '@opentelemetry/api'
import { errorTypeOf } from '../../../shared/runtime/messaging.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
import type { Threads } from '../infer/predict.ts'
import type { Prepared } from '../prepare/prepared.ts'
import type { Concluded } from '../settle/outcome.ts'
import type { OutcomeStore, Stored } from '../settle/outcome-store.ts'
import { type SettlementDeps, settle } from '../settle/settlement.ts'
import type { Timed, WorkerMetrics } from './worker-metrics.ts'
import { isSampled, type WorkerTraces } from './worker-traces.ts'

/** Who looks on while a worker works. */
export interface ObserverOptions {
  readonly metrics?: WorkerMetrics | undefined
  readonly traces?: WorkerTraces | undefined
}

type Store = Pick<OutcomeStore, 'store' | 'record'>

/** Steps whose place in a trace is known. */
export interface Steps {
  /** Running models. */
  threads(threads: Threads): Threads
  /** Settling a group. */
  settle(group: readonly Concluded[], deps: SettlementDeps): Promise<void>
}

/**
 * Measures and traces the steps of a worker around them, so that they need not know. Without metrics and traces each step
 * is the very same function as before: looking away costs nothing.
 */
export interface Observer extends Steps {
  /** Processing one batch, in steps of its own. */
  batch(batch: readonly Prepared[], work: (steps: Steps) => Promise<void>): Promise<void>
}

export function createObserver({ metrics, traces }: ObserverOptions): Observer {
  if (metrics === undefined && traces === undefined) {
    const steps: Steps = { threads: (threads) => threads, settle }
    return { ...steps, batch: (_batch, work) => work(steps) }
  }
  const plain = observedSteps(metrics)
  return {
    ...plain,
    batch: async (batch, work) => {
      metrics?.started(batch)
      const processBatch = (): Promise<void> =>
        traces === undefined
          ? work(plain)
          : traces.batch(batch, (span) => work(observedSteps(metrics, traces, span)))
      await timed(processBatch, (told) => metrics?.processed(batch, told))
    },
    settle: observedSteps(metrics, traces).settle,
  }
}

/** @param batch span of the batch these steps belong to, if it is sampled */
function observedSteps(metrics?: WorkerMetrics, traces?: WorkerTraces, batch?: Span): Steps {
  return {
    threads: (threads) => ({
      run: (model, inputs) => {
        const rows = inputs[0]?.shape[0] ?? 1
        const run = (): Promise<readonly Tensor[]> =>
          timed(
            () => threads.run(model, inputs),
            (told) => metrics?.ran(model, rows, told),
          )
        return traces === undefined || batch === undefined ? run() : traces.run(batch, model, rows, run)
      },
    }),
    settle: async (group, deps) => {
      const store = observeStore(deps.store, metrics, traces, batch)
      const plainly = (): Promise<void> => settle(group, { ...deps, store })
      const work = (): Promise<void> =>
        traces === undefined || batch === undefined ? plainly() : traces.settle(batch, group, plainly)
      await timed(work, (told) => metrics?.acknowledged(group, told))
    },
  }
}

/** Each event passes here: the first of a group is timed for all of them, and only those that are sampled are traced. */
function observeStore(store: Store, metrics?: WorkerMetrics, traces?: WorkerTraces, batch?: Span): Store {
  let isTimed = metrics === undefined
  return {
    record: (record) => store.record(record),
    store: (delivery, outcome, mayRetry) => {
      const work = (): Promise<Stored> =>
        traces !== undefined && isSampled(delivery)
          ? traces.store(batch, delivery, outcome, () => store.store(delivery, outcome, mayRetry))
          : store.store(delivery, outcome, mayRetry)
      if (isTimed) return work()
      isTimed = true
      return timed(work, (told) => metrics?.stored(outcome, told))
    },
  }
}

/** Tells how long work took, and how it ended. */
async function timed<Result>(
  work: () => Promise<Result>,
  tell: (told: Timed<Result>) => void,
): Promise<Result> {
  const startedAt = performance.now()
  try {
    const result = await work()
    tell({ durationMs: performance.now() - startedAt, result })
    return result
  } catch (thrown) {
    tell({ durationMs: performance.now() - startedAt, error: errorTypeOf(thrown) })
    throw thrown
  }
}
