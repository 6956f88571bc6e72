/** How long a run of some rows took. */
export interface BatchTiming {
  readonly rows: number
  readonly ms: number
}

/** What timings say about a model: t(b) ≈ `fixedMs` + `perRowMs` · b. */
export interface CostFit {
  readonly fixedMs: number
  readonly perRowMs: number
  /** The last size in a row of growing ones that made a row at least 10 % cheaper than the size before. */
  readonly kneeRows: number
}

const WORTHWHILE = 0.9

/**
 * Fits the cost of a batch by least squares, weighted so that small batches count as much as large ones, and finds the
 * knee. Neither part of the cost is below 0.
 *
 * @param timings by growing rows, at least one
 */
export function fitCost(timings: readonly BatchTiming[]): CostFit {
  let [weights, sumRows, sumMs, sumRowsRows, sumRowsMs] = [0, 0, 0, 0, 0]
  for (const { rows, ms } of timings) {
    const weight = 1 / rows ** 2
    weights += weight
    sumRows += weight * rows
    sumMs += weight * ms
    sumRowsRows += weight * rows * rows
    sumRowsMs += weight * rows * ms
  }
  const spread = weights * sumRowsRows - sumRows ** 2
  const slope = spread <= 1e-12 ? 0 : (weights * sumRowsMs - sumRows * sumMs) / spread
  const perRowMs = Math.max(0, slope)
  const fixedMs = Math.max(0, (sumMs - perRowMs * sumRows) / weights)
  return { fixedMs, perRowMs, kneeRows: findKnee(timings) }
}

function findKnee(timings: readonly BatchTiming[]): number {
  let knee = timings[0]
  for (const next of timings.slice(1)) {
    if (knee === undefined || next.ms / next.rows > (WORTHWHILE * knee.ms) / knee.rows) break
    knee = next
  }
  return knee?.rows ?? 1
}
