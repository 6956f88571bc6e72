import { costOf } from '../../../shared/models/batch-cost.ts'
import type { Calibration } from '../../../shared/models/calibration.ts'

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
}

/**
 * How long the first event of a batch waits for others, of a model whose cost is known. Where a backlog waits, batches
 * are to be full. Otherwise, while a thread has nothing to do, others are waited for where they will come in time, and
 * where a row gets cheaper by more than the wait; and never longer than a full batch runs.
 *
 * @param lingerMs the longest wait, milliseconds
 * @returns milliseconds
 */
export function learnedLinger(cost: Calibration, waiting: WaitingKind, lingerMs: number): number {
  const { rows, maxRows, rowsPerMs, isThreadFree, isBehind } = waiting
  if (isBehind) return lingerMs
  if (isThreadFree) {
    const rest = rows % maxRows
    const fillMs = (maxRows - rest) / rowsPerMs
    const gainMs = rowMs(cost, rest) - rowMs(cost, maxRows)
    if (!(fillMs <= lingerMs && fillMs < gainMs)) return 0
  }
  return Math.min(lingerMs, costOf(cost, maxRows))
}

/** What a row of a run costs, handing the run over included, milliseconds. */
function rowMs(cost: Calibration, rows: number): number {
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
