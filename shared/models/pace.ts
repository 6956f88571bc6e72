import type { RecentLine } from './batch-cost.ts'
import { RecentCost } from './recent-cost.ts'
import { LONG_RUN_MS } from './slots.ts'

/** What is left of an earlier figure after each shorter run: ten short runs, and a long one is forgotten. */
const REMEMBERED = 0.75

/** How long the last runs of each model took. One long run makes a model slow at once; it takes several to be quick again. */
export class Paces {
  readonly #figures = new Map<string, number>()
  readonly #costs = new Map<string, RecentCost>()

  /** A run of the model of this key took so long, the opening of the model excluded, milliseconds. */
  ran(key: string, rows: number, runMs: number): void {
    this.#tookAsLong(key, runMs)
    const cost = this.#costs.get(key) ?? new RecentCost()
    this.#costs.set(key, cost)
    cost.ran(rows, runMs)
  }

  /** A run was given up after so long, milliseconds. */
  gaveUp(key: string, afterMs: number): void {
    this.#tookAsLong(key, afterMs)
  }

  /** What the last runs of a model cost by their rows; undefined where there was none. */
  costOf(key: string): RecentLine | undefined {
    return this.#costs.get(key)?.line
  }

  /** Whether the last runs of this model were longer than others should wait for. A model that never ran is not slow. */
  isSlow(key: string): boolean {
    return (this.#figures.get(key) ?? 0) > LONG_RUN_MS
  }

  #tookAsLong(key: string, runMs: number): void {
    const before = this.#figures.get(key) ?? runMs
    this.#figures.set(key, runMs >= before ? runMs : REMEMBERED * before + (1 - REMEMBERED) * runMs)
  }
}
