import { errorTypeOf } from '../../../shared/runtime/messaging.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { Batch } from '../prepare/prepared.ts'
import type { Concluded } from '../settle/outcome.ts'
import type { OutcomeStore, StoredOutcome } from '../settle/outcome-store.ts'
import type { Settled } from '../settle/settlement.ts'
import type { Timed, WorkerMetrics } from './worker-metrics.ts'

/** A step on the way of events: works on something, and answers. */
type Step<Work, Answer> = (work: Work) => Promise<Answer>

/** Looks on at a step: gives one that does the same. */
type Interceptor<Work, Answer> = (next: Step<Work, Answer>) => Step<Work, Answer>

/** The steps that can be looked on at. */
export interface Interceptors {
  /** One batch, from its run to its last acknowledgement. */
  readonly process: Interceptor<Batch, void>
  /** One model call for all rows of a batch. */
  readonly run: Interceptor<Batch, readonly Tensor[]>
  /** Settling a group. */
  readonly settle: Interceptor<readonly Concluded[], readonly Settled[]>
  /** Storing one outcome. */
  readonly store: Interceptor<Concluded, StoredOutcome>
  /** Storing plain predictions together. */
  readonly storeAll: (next: OutcomeStore['storeAll']) => OutcomeStore['storeAll']
  /** Whether the storing of this very event is looked on at: it is not to be stored together with others. */
  readonly isWatched: (delivery: Delivery) => boolean
}

/** Who looks on while a worker works. */
export interface Observers {
  readonly metrics?: WorkerMetrics | undefined
  readonly traces?: Interceptors | undefined
}

/** Without metrics and traces each step is the very same function as before: looking away costs nothing. */
export function createInterceptors({ metrics, traces = NOBODY }: Observers): Interceptors {
  return metrics === undefined ? traces : compose(measure(metrics), traces)
}

const NOBODY: Interceptors = {
  process: (next) => next,
  run: (next) => next,
  settle: (next) => next,
  store: (next) => next,
  storeAll: (next) => next,
  isWatched: () => false,
}

function compose(outer: Interceptors, inner: Interceptors): Interceptors {
  return {
    process: (next) => outer.process(inner.process(next)),
    run: (next) => outer.run(inner.run(next)),
    settle: (next) => outer.settle(inner.settle(next)),
    store: (next) => outer.store(inner.store(next)),
    storeAll: (next) => outer.storeAll(inner.storeAll(next)),
    isWatched: (delivery) => outer.isWatched(delivery) || inner.isWatched(delivery),
  }
}

function measure(metrics: WorkerMetrics): Interceptors {
  return {
    process: (next) => {
      const process = timed(next, (batch, told) => metrics.processed(batch, told))
      return (batch) => {
        metrics.started(batch)
        return process(batch)
      }
    },
    run: (next) => timed(next, (batch, told) => metrics.ran(batch, told)),
    settle: (next) => timed(next, (group, told) => metrics.acknowledged(group, told)),
    store: (next) => firstOfEach(next, (concluded, told) => metrics.stored(concluded.outcome, told)),
    storeAll: (next) => {
      const stored = timed(
        ([group, onStored]: Parameters<typeof next>) => next(group, onStored),
        (_, told) => metrics.storedTogether(told),
      )
      return (...given) => stored(given)
    },
    isWatched: () => false,
  }
}

/** Each event passes here: of those that are stored together the first is timed for all. */
function firstOfEach<Work, Answer>(next: Step<Work, Answer>, tell: Tell<Work, Answer>): Step<Work, Answer> {
  const first = timed(next, tell)
  let isTimed = false
  return (work) => {
    if (isTimed) return next(work)
    isTimed = true
    queueMicrotask(() => {
      isTimed = false
    })
    return first(work)
  }
}

type Tell<Work, Answer> = (work: Work, told: Timed<Answer>) => void

/** Tells how long a step took, and how it ended. */
function timed<Work, Answer>(next: Step<Work, Answer>, tell: Tell<Work, Answer>): Step<Work, Answer> {
  return async (work) => {
    const startedAt = performance.now()
    try {
      const result = await next(work)
      tell(work, { durationMs: performance.now() - startedAt, result })
      return result
    } catch (thrown) {
      tell(work, { durationMs: performance.now() - startedAt, error: errorTypeOf(thrown) })
      throw thrown
    }
  }
}
