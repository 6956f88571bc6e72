import { admissionModeOf } from '../../shared/operations/models/admission-mode.ts'
import { LoopBusy } from '../../shared/runtime/loop-busy.ts'
import { SHEDDING_STOPS_AT } from '../../shared/sdk/contract/bounds.ts'
import { Dispatcher } from './batch/dispatcher.ts'
import { knownCostOf, recentCostOf } from './batch/learned.ts'
import { isUrgent } from './infer/predict.ts'
import type { Arrivals } from './intake/arrivals.ts'
import type { Backlog } from './intake/backlog.ts'
import type { Batch, Prepared } from './prepare/prepared.ts'
import { Shedding } from './shed/shedding.ts'
import type { WorkerDeps, WorkerOptions } from './worker-deps.ts'

/** What of a worker goes by what waits in it for a run. */
export interface QueueSurroundings {
  readonly backlog: Pick<Backlog, 'waiting'>
  readonly arrivals: Pick<Arrivals, 'isEmpty'>
  readonly isApart: (model: string) => boolean
  /** Starts a batch. Its place is taken until it is freed. */
  readonly start: (batch: Batch) => void
}

/** Where events wait for their runs: in batches, and no longer than their deadlines let them. */
export interface WorkerQueue {
  readonly dispatcher: Dispatcher
  readonly shedding: Shedding
}

/** Both go by the same threads, the same models that run apart, and what is known of what a model costs. */
export function openWorkerQueue(
  deps: Pick<WorkerDeps, 'broker' | 'threads' | 'calibrations' | 'pool'>,
  { lingerMs }: Pick<WorkerOptions, 'lingerMs'>,
  { backlog, arrivals, isApart, start }: QueueSurroundings,
): WorkerQueue {
  const { broker, pool, threads } = deps
  const busy = new LoopBusy()
  const shared = {
    isUrgent: (event: Prepared) => isUrgent(event, threads),
    isApart: ({ model }: Prepared) => isApart(model.name),
  }
  const dispatcher = new Dispatcher({
    ...shared,
    ...{ lingerMs, slots: threads.size, brokerNow: broker.now, start },
    costOf: ({ model }) => knownCostOf(model.key, deps),
    loopShare: () => busy.share(),
    waiting: () => backlog.waiting,
    isMoreHere: () => !arrivals.isEmpty,
  })
  const shedding = new Shedding({
    ...shared,
    threads: threads.size,
    aheadRows: (event) => dispatcher.aheadRows(event),
    running: () => dispatcher.running,
    // What runs cost now says more than what one cost while nothing else ran.
    costOf: ({ model: { key } }) => recentCostOf(key, deps),
    isOff: ({ model }) => admissionModeOf(pool.find(model.name), model.manifest) === 'off',
    hasRoom: () => broker.deadLettersUsed() < SHEDDING_STOPS_AT,
  })
  return { dispatcher, shedding }
}
