import { type CostLine, costOf } from './batch-cost.ts'

/** Runs that are judged together. */
const WINDOW = 64
/** Off by half: a calibration says nothing of such runs any more. */
const OFF = 0.5
/** How long it must have been off, milliseconds. */
export const LONG_ENOUGH_MS = 300_000

/**
 * Whether the runs of a model still cost what was measured. Of a number of runs the quick ones are looked at, since
 * whatever disturbs a run makes it slower: a machine that is busy for a while is no other machine.
 */
export class CostWatch {
  readonly #line: CostLine
  readonly #expected: number
  #ratios: number[] = []
  #offSinceMs: number | undefined
  #lastRatio: number

  /** @param expected what live runs are known to cost, of what was measured: their rows may be others than those generated */
  constructor(line: CostLine, expected = 1) {
    this.#line = line
    this.#expected = expected
    this.#lastRatio = expected
  }

  /** What the last runs cost, of what was measured. */
  get ratio(): number {
    return this.#lastRatio
  }

  /** @returns whether the cost has been off by half for long enough */
  ran(rows: number, runMs: number, nowMs: number): boolean {
    this.#ratios.push(runMs / Math.max(1e-6, costOf(this.#line, rows)))
    if (this.#ratios.length >= WINDOW) this.#judge(nowMs)
    return this.#offSinceMs !== undefined && nowMs - this.#offSinceMs >= LONG_ENOUGH_MS
  }

  #judge(nowMs: number): void {
    const sorted = this.#ratios.sort((one, other) => one - other)
    this.#lastRatio = sorted[WINDOW / 4] ?? this.#expected
    this.#ratios = []
    const isOff = Math.abs(this.#lastRatio - this.#expected) > OFF * this.#expected
    this.#offSinceMs = isOff ? (this.#offSinceMs ?? nowMs) : undefined
  }
}
