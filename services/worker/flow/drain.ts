import { costOf } from '../../../shared/models/batch-cost.ts'
import { type KnownCost, learnedRows } from '../batch/learned.ts'

/** What a worker ran lately, all over the same time. */
export interface RanLately {
  /** Rows of the model, and how long threads were busy with them, milliseconds. */
  readonly rows: number
  readonly busyMs: number
  /** How long threads were busy with all models. */
  readonly allBusyMs: number
  /** How much time the threads had: as many times the time that passed. */
  readonly threadMs: number
  readonly threads: number
  /** Which part of its time the main thread was busy, 0 to 1. */
  readonly loopShare: number
  /** Rows a second that a thread would run in full batches; 0 where that is not known. */
  readonly fullRows: number
}

/**
 * How many rows of a model a worker runs a second while it is busy. Of the threads' time the model has what it took: there
 * counts what it ran in a busy second. What was left by all it could have, as far as the main thread has time for it: there
 * counts what full batches would have run, so that little load is no incapacity. While no time is left this is what runs.
 *
 * @returns rows a second; 0 where nothing is known
 */
export function drainRows(ran: RanLately): number {
  const { rows, busyMs, allBusyMs, threadMs, threads, loopShare, fullRows } = ran
  if (threadMs <= 0) return 0
  const busyRows = busyMs > 0 ? (1_000 * rows) / busyMs : 0
  // Runs that began before count whole: they may have taken longer than what is looked back on.
  const share = busyMs / Math.max(allBusyMs, threadMs)
  const left = Math.max(0, 1 - allBusyMs / threadMs) * (1 - loopShare)
  return threads * (busyRows * share + Math.max(busyRows, fullRows) * left)
}

/** Rows a second of full batches on one thread, by what a model costs; 0 where nothing is known of that. */
export function fullBatchRows(cost: KnownCost, maxBatchRows: number): number {
  const rows = learnedRows(cost, maxBatchRows)
  const ms = costOf(cost, rows)
  return ms > 0 ? (1_000 * rows) / ms : 0
}
