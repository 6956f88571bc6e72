import { type CostLine, costOf } from '../../../shared/models/batch-cost.ts'

/** What is known of an event when it is asked whether it can be predicted in time. */
export interface MissFacts {
  /** Rows that run before it. */
  readonly aheadRows: number
  /** Rows of the run it is in, its own among them. */
  readonly runRows: number
  /** Rows that a run of its model has where enough wait. */
  readonly batchRows: number
  /** What a run of its model costs; and beside the runtime, milliseconds. */
  readonly cost: CostLine & { readonly handOverMs: number }
  /** Threads that work on what is ahead. */
  readonly threads: number
  /** What storing its prediction takes, milliseconds. */
  readonly settleMs: number
  /** How long until its deadline, milliseconds. */
  readonly leftMs: number
}

/** What would come before its prediction can be stored, milliseconds, and what is left for that. */
export interface PredictedMiss extends Pick<MissFacts, 'leftMs'> {
  readonly waitMs: number
  readonly runMs: number
}

/** Part of what is left that all of it may take: the rest is for what was foreseen wrongly. */
const USABLE = 0.95

/**
 * Whether the prediction of an event would come after its deadline: what is ahead of it, over what the threads run, its own
 * run, and storing it, against 95 % of what is left. What a run takes goes by its rows alone, which makes the end of a queue of runs
 * predictable (Gujarati et al., "Serving DNNs like Clockwork", OSDI 2020; the dispatcher of BentoML has the same rule).
 *
 * With nothing ahead no event is given up: a cost that was measured wrongly would never be measured again. The same
 * holds where nothing is known of the cost.
 *
 * @returns undefined where it can be in time
 */
export function predictMiss(facts: MissFacts): PredictedMiss | undefined {
  const { aheadRows, runRows, batchRows, cost, threads, settleMs, leftMs } = facts
  if (aheadRows <= 0 || costOf(cost, batchRows) === 0) return undefined
  const rows = Math.max(1, batchRows)
  const waitMs = (aheadRows * (costOf(cost, rows) + cost.handOverMs)) / rows / threads
  const runMs = costOf(cost, runRows) + cost.handOverMs
  if (waitMs + runMs + settleMs <= USABLE * Math.max(0, leftMs)) return undefined
  return { waitMs, runMs, leftMs }
}
