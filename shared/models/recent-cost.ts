import { CostSums, costOf, type RecentLine } from './batch-cost.ts'

/** What is left of an earlier run after each later one: some ten tell what a model costs. */
const REMEMBERED = 0.9
/** The first runs take longer than any later one: memory is taken, code is compiled. */
const FIRST_RUNS = 2
/** A run that takes longer than so many others was disturbed, it seems: it counts as one that took so long. */
const DISTURBED = 1.5
/** That many one after the other may be: with the next that is as long the model costs more, and nothing before it counts. */
const MOST_DISTURBED = 2
const LEAST_MS = 0.01
/** Where rows differ by less nothing is known of what is fixed. */
const LEAST_VARIETY = 0.02

/**
 * What the last runs of a model cost by their rows: least squares whose earlier terms fade (recursive least squares with
 * exponential forgetting). While all have about the same rows, all of the cost is taken to go by the rows: the next batch
 * is then of other rows where that matters, and tells.
 */
export class RecentCost {
  readonly #sums = new CostSums()
  #runs = 0
  /** Runs in a row that took much longer than those before. */
  #disturbed = 0

  /** A run took so long, milliseconds. */
  ran(rows: number, ms: number): void {
    if (++this.#runs <= FIRST_RUNS) return
    const { line } = this
    const size = Math.max(1, rows)
    const most = line === undefined ? ms : Math.max(DISTURBED * costOf(line, size), LEAST_MS)
    this.#disturbed = ms > most ? this.#disturbed + 1 : 0
    const isDearer = this.#disturbed > MOST_DISTURBED
    // Beside cheaper ones dear runs of other rows would make all of the cost a fixed part.
    this.#sums.fade(isDearer ? 0 : REMEMBERED)
    this.#sums.add({ rows: size, ms: isDearer ? ms : Math.min(ms, most) }, 1 / size)
    if (isDearer) this.#disturbed = 0
  }

  /** @returns undefined while too few have run */
  get line(): RecentLine | undefined {
    if (this.#sums.isEmpty) return undefined
    return this.#sums.variety < LEAST_VARIETY ? this.#sums.proportion : this.#sums.line
  }
}
