import {
  type CostLine,
  costOf,
  kneeOf,
  type RecentLine,
  rowsWithin,
} from '../../../shared/models/batch-cost.ts'
import { LONG_RUN_MS } from '../../../shared/models/slots.ts'

/** What is known of what a model costs: measured, or by its last runs alone. */
export interface KnownCost extends CostLine {
  /** What a run takes beside the runtime, milliseconds. */
  readonly handOverMs: number
  /** More rows in a run make a row no cheaper. */
  readonly batchRows: number
  /** So many are tried, though they may take long: it is not known whether they do. @default none */
  readonly triedRows?: number
}

/** Rows of the first batches of a model nothing is known of: a row may take seconds. */
const FIRST_ROWS = 8

/** What a batch costs beside the runtime where that was not measured, to choose its rows by, milliseconds: storing it included. */
const SUPPOSED_HAND_OVER_MS = 1

/**
 * What the last runs say, where nothing was measured: nothing of what is beside the runtime. While all of them had as many
 * rows they do not tell whether more would be cheaper: the next may have twice as many, and does tell.
 */
export function costByRuns(line: RecentLine | undefined): KnownCost {
  if (line === undefined) return { fixedMs: 0, perRowMs: 0, handOverMs: 0, batchRows: FIRST_ROWS }
  const { fixedMs, perRowMs, alikeRows } = line
  const kneeRows = kneeOf({ fixedMs: fixedMs + SUPPOSED_HAND_OVER_MS, perRowMs })
  if (alikeRows === undefined) return { fixedMs, perRowMs, handOverMs: 0, batchRows: kneeRows }
  const twiceRows = 2 * Math.round(alikeRows)
  const triedRows = costOf(line, alikeRows) <= LONG_RUN_MS ? twiceRows : 1
  return { fixedMs, perRowMs, handOverMs: 0, batchRows: Math.max(kneeRows, twiceRows), triedRows }
}

/** Who knows what models cost, by their keys. */
export interface CostSources {
  /** As they were measured. @default nothing is */
  readonly calibrations?: { of(key: string): KnownCost | undefined }
  /** By their last runs. */
  readonly threads: { costOf(key: string): RecentLine | undefined }
}

/** What is known of what a model costs: as it was measured, or else by its last runs. */
export function knownCostOf(key: string, { calibrations, threads }: CostSources): KnownCost {
  return calibrations?.of(key) ?? costByRuns(threads.costOf(key))
}

/** What runs of a model cost now: as measured, but as long as the last ones took. */
export function recentCostOf(key: string, { calibrations, threads }: CostSources): KnownCost {
  const measured = calibrations?.of(key)
  const line = threads.costOf(key)
  if (measured === undefined) return costByRuns(line)
  if (line === undefined) return measured
  // Field by field: it is asked for each event.
  const { handOverMs, batchRows } = measured
  return { fixedMs: line.fixedMs, perRowMs: line.perRowMs, handOverMs, batchRows }
}

/** A batch runs half as long as makes others wait at most: its cost is known roughly, and the machine may be busy. */
const LONGEST_BATCH_MS = LONG_RUN_MS / 2

/** Rows a batch may have: no more than make a row cheaper, and few enough to make nobody wait. */
export function learnedRows(cost: KnownCost, maxRows: number): number {
  const rows = Math.max(cost.triedRows ?? 1, rowsWithin(cost, LONGEST_BATCH_MS))
  return Math.min(maxRows, cost.batchRows, rows)
}

/**
 * Rows of a batch whose run ends within what a deadline leaves: one at least. Where not even one row would be in time, or where
 * the fixed part takes most of it, fewer rows help nobody, and there is no bound.
 */
export function rowsInBudget(cost: KnownCost, leftMs: number): number {
  const fixedMs = cost.fixedMs + cost.handOverMs
  if (fixedMs + cost.perRowMs > leftMs) return Number.POSITIVE_INFINITY
  return rowsWithin({ fixedMs, perRowMs: cost.perRowMs }, leftMs)
}

/** What waits of a kind, and what it waits for. */
export interface WaitingKind {
  /** Full batches among them wait for nobody. */
  readonly rows: number
  /** Rows a batch may have. */
  readonly maxRows: number
  /** How fast rows of its model come, a millisecond. */
  readonly rowsPerMs: number
  /** Whether an inference thread has nothing to do. */
  readonly isThreadFree: boolean
  /** Whether so much waits in the streams that a batch fills by itself. */
  readonly isBehind: boolean
  /** Which part of its time the main thread is busy, from 0 to 1. */
  readonly loopShare: number
}

/** Up to here the main thread has time for batches of one event; from there on they wait for others as long as they may. */
const [AT_EASE, BUSY] = [0.5, 0.9]

/**
 * How long the first event of a batch waits for others, of a model whose cost is known. Where a backlog waits, batches
 * are to be full. Otherwise, while a thread has nothing to do, others are waited for where they will come in time, and
 * where a row gets cheaper by more than the wait; and never longer than a full batch runs. The busier the main thread is, the
 * longer they wait all the same: what is stored together costs it less.
 *
 * @param lingerMs the longest wait, milliseconds
 * @returns milliseconds
 */
export function learnedLinger(cost: KnownCost, waiting: WaitingKind, lingerMs: number): number {
  if (waiting.isBehind) return lingerMs
  const busyMs = lingerMs * Math.min(1, Math.max(0, (waiting.loopShare - AT_EASE) / (BUSY - AT_EASE)))
  return Math.max(busyMs, lingerForRuns(cost, waiting, lingerMs))
}

function lingerForRuns(cost: KnownCost, waiting: WaitingKind, lingerMs: number): number {
  const { rows, maxRows, rowsPerMs, isThreadFree } = waiting
  if (isThreadFree) {
    const rest = rows % maxRows
    const fillMs = (maxRows - rest) / rowsPerMs
    const gainMs = rowMs(cost, rest) - rowMs(cost, maxRows)
    if (!(fillMs <= lingerMs && fillMs < gainMs)) return 0
  }
  return Math.min(lingerMs, costOf(cost, maxRows))
}

/** What a row of a run costs, handing the run over included, milliseconds. */
function rowMs(cost: KnownCost, rows: number): number {
  return (costOf(cost, rows) + cost.handOverMs) / Math.max(1, rows)
}

/** After this long without rows a rate is a third of what it was, milliseconds. */
const REMEMBERED_MS = 50

/** How fast rows come, as it was lately. */
export class ArrivalRate {
  #rows = 0
  #atMs = Number.NEGATIVE_INFINITY

  /** Rows have come. @returns rows a millisecond */
  came(rows: number, nowMs: number): number {
    this.#rows = this.#rows * Math.exp((this.#atMs - nowMs) / REMEMBERED_MS) + rows
    this.#atMs = nowMs
    return this.#rows / REMEMBERED_MS
  }
}
