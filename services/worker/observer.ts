import type { Span } from '@opentelemetry/api'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'
import type { OutcomeStore } from './outcome-store.ts'
import type { Threads } from './predict.ts'
import type { Prepared } from './prepare.ts'
import { type Concluded, type SettlementDeps, settle } from './settlement.ts'
import type { WorkerMetrics } from './worker-metrics.ts'
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
      const startedAt = performance.now()
      if (traces === undefined) await work(plain)
      else await traces.batch(batch, (span) => work(observedSteps(metrics, traces, span)))
      metrics?.processed(batch, performance.now() - startedAt)
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
        const startedAt = performance.now()
        const run = (): Promise<readonly Tensor[]> =>
          threads.run(model, inputs).finally(() => metrics?.ran(model, rows, performance.now() - startedAt))
        return traces === undefined || batch === undefined ? run() : traces.run(batch, model, rows, run)
      },
    }),
    settle: async (group, deps) => {
      const startedAt = performance.now()
      const store = observeStore(deps.store, metrics, traces, batch)
      const work = (): Promise<void> => settle(group, { ...deps, store })
      await (traces === undefined || batch === undefined ? work() : traces.settle(batch, group.length, work))
      metrics?.acknowledged(performance.now() - startedAt)
    },
  }
}

/** Each event passes here: the first of a group is timed for all of them, and only those that are sampled are traced. */
function observeStore(store: Store, metrics?: WorkerMetrics, traces?: WorkerTraces, batch?: Span): Store {
  let isTimed = metrics === undefined
  return {
    record: (record) => store.record(record),
    store: (delivery, outcome, mayRetry) => {
      const stored =
        traces !== undefined && isSampled(delivery)
          ? traces.store(batch, delivery, outcome, () => store.store(delivery, outcome, mayRetry))
          : store.store(delivery, outcome, mayRetry)
      if (isTimed) return stored
      isTimed = true
      const startedAt = performance.now()
      return stored.finally(() => metrics?.stored(performance.now() - startedAt))
    },
  }
}
