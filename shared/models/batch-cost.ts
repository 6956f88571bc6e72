/** How long a run of some rows took. */
export interface BatchTiming {
  readonly rows: number
  readonly ms: number
}

/** What a run of b rows takes: t(b) ≈ `fixedMs` + `perRowMs` · b. */
export interface CostLine {
  readonly fixedMs: number
  readonly perRowMs: number
}

/** What the last runs say of a model. */
export interface RecentLine extends CostLine {
  /** How many rows they had where all had about as many: what of the cost is fixed is not known then. */
  readonly alikeRows?: number
}

/** What timings say about a model. */
export interface CostFit extends CostLine {
  /** The last size in a row of growing ones that made a row at least 10 % cheaper than the size before. */
  readonly kneeRows: number
}

const WORTHWHILE = 0.9

/** Huber's constant: 95 % as good as plain least squares where nothing is an outlier. */
const HUBER = 1.345
/** The median of absolute deviations times this is the standard deviation of what is normally distributed. */
const NORMAL = 1.4826
const ROUNDS = 50

/**
 * Fits the cost of a batch and finds the knee.
 *
 * @param timings by growing rows, at least one
 */
export function fitCost(timings: readonly BatchTiming[]): CostFit {
  return { ...fitLine(timings), kneeRows: findKnee(timings) }
}

/**
 * Fits a line by least squares, weighted so that small batches count as much as large ones. A timing that is far off the
 * others counts less: weights of Huber (1964), by iteration (Holland and Welsch 1977). Neither part of the cost is
 * below 0.
 *
 * @param timings at least one
 */
export function fitLine(timings: readonly BatchTiming[]): CostLine {
  let trust: readonly number[] = timings.map(() => 1)
  let line = fitWeighted(timings, trust)
  for (let round = 0; round < ROUNDS; round++) {
    const misses = timings.map(({ rows, ms }) => Math.abs(ms - costOf(line, rows)) / rows)
    const bound = HUBER * NORMAL * median(misses)
    // Half of them lie on the line: there is nothing to be judged by.
    if (bound <= 1e-12) return line
    trust = misses.map((miss) => Math.min(1, bound / Math.max(miss, bound)))
    line = fitWeighted(timings, trust)
  }
  return line
}

/** What a run of some rows takes by a line, milliseconds. */
export function costOf({ fixedMs, perRowMs }: CostLine, rows: number): number {
  return fixedMs + perRowMs * rows
}

/**
 * The most rows whose run takes no longer than `ms`: one at least. Where the fixed part alone takes most of it fewer rows help
 * nobody, and there is no bound.
 */
export function rowsWithin({ fixedMs, perRowMs }: CostLine, ms: number): number {
  if (perRowMs === 0 || fixedMs > ms / 2) return Number.POSITIVE_INFINITY
  return Math.max(1, Math.floor((ms - fixedMs) / perRowMs))
}

/**
 * From how many rows on twice as many make a row less than 10 % cheaper, by a line: one of b rows costs f / b + r, and f / 2b is
 * less than a tenth of that from b = 4 f / r on. One at least.
 */
export function kneeOf({ fixedMs, perRowMs }: CostLine): number {
  return perRowMs === 0 ? Number.POSITIVE_INFINITY : Math.max(1, Math.round((4 * fixedMs) / perRowMs))
}

/** @param timings by growing rows, at least one */
export function findKnee(timings: readonly BatchTiming[]): number {
  let knee = timings[0]
  for (const next of timings.slice(1)) {
    if (knee === undefined || next.ms / next.rows > (WORTHWHILE * knee.ms) / knee.rows) break
    knee = next
  }
  return knee?.rows ?? 1
}

function fitWeighted(timings: readonly BatchTiming[], trust: readonly number[]): CostLine {
  const sums = new CostSums()
  for (const [at, timing] of timings.entries()) sums.add(timing, (trust[at] ?? 1) / timing.rows ** 2)
  return sums.line
}

/** The sums of a fit by weighted least squares. */
export class CostSums {
  #weights = 0
  #rows = 0
  #ms = 0
  #rowsRows = 0
  #rowsMs = 0

  add({ rows, ms }: BatchTiming, weight: number): void {
    this.#weights += weight
    this.#rows += weight * rows
    this.#ms += weight * ms
    this.#rowsRows += weight * rows * rows
    this.#rowsMs += weight * rows * ms
  }

  /** Everything so far counts so much less. */
  fade(by: number): void {
    this.#weights *= by
    this.#rows *= by
    this.#ms *= by
    this.#rowsRows *= by
    this.#rowsMs *= by
  }

  /** Whether nothing was added. */
  get isEmpty(): boolean {
    return this.#weights === 0
  }

  /** How much the rows differ: 0 where all are alike, so that nobody knows which part of the cost is fixed. */
  get variety(): number {
    return this.isEmpty ? 0 : Math.max(0, 1 - this.#rows ** 2 / (this.#weights * this.#rowsRows))
  }

  /** The line. Where all rows are alike all of the cost is fixed. */
  get line(): CostLine {
    const spread = this.#weights * this.#rowsRows - this.#rows ** 2
    const slope = spread <= 1e-12 ? 0 : (this.#weights * this.#rowsMs - this.#rows * this.#ms) / spread
    const perRowMs = Math.max(0, slope)
    return { fixedMs: Math.max(0, (this.#ms - perRowMs * this.#rows) / this.#weights), perRowMs }
  }

  /** The line through nothing, where all rows are about alike: no part of the cost is known to be fixed. */
  get proportion(): RecentLine {
    return { fixedMs: 0, perRowMs: this.#rowsMs / this.#rowsRows, alikeRows: this.#rows / this.#weights }
  }
}

/** The upper one of two in the middle. */
export function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
}
