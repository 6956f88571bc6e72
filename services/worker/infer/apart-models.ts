import { setTimeout as sleep } from 'node:timers/promises'
import { countEnded, countTimedOut, setApart } from '../../../shared/operations/models/operator-case.ts'
import type { PoolModels } from '../../../shared/operations/models/pool-models.ts'
import type { Concluded } from '../settle/outcome.ts'
import { type ChangeRecord, recordChanger } from './record-changer.ts'

/** How long the pool may take to hear of a model that runs apart, milliseconds. */
const TOLD_MS = 2_000

/**
 * Which models run apart: those of which a run did not end, as the pool's record remembers it. This worker knows at
 * once, and before the pool can be told.
 */
export class ApartModels {
  readonly #pool: Pick<PoolModels, 'find'>
  readonly #now: () => number
  readonly #change: ChangeRecord
  /** Those the pool was not told of yet. */
  readonly #untold = new Set<string>()

  /**
   * @param now broker time, milliseconds since 1970
   * @param onTrouble told of a record that could not be changed
   */
  constructor(
    pool: Pick<PoolModels, 'find' | 'update'>,
    now: () => number,
    onTrouble: (model: string, thrown: unknown) => void,
  ) {
    this.#pool = pool
    this.#now = now
    this.#change = recordChanger(pool, onTrouble)
  }

  isApart(model: string): boolean {
    return this.#untold.has(model) || this.#pool.find(model)?.apart !== undefined
  }

  /** A run of this model did not end. @returns whether the pool knows; within two seconds, and told later where not */
  async begin(model: string): Promise<boolean> {
    if (this.#pool.find(model)?.apart !== undefined) return true
    this.#untold.add(model)
    const told = this.#change(model, (record) => setApart(record, this.#now())).then((record) => {
      if (record === undefined) return false
      this.#untold.delete(model)
      return true
    })
    return await Promise.race([told, sleep(TOLD_MS, false, { ref: false })])
  }

  /**
   * Counts events of models that run apart: those in a row that timed out make it a case for the operator. Each counts
   * once, at its first attempt: one event that is tried again and again says nothing of its neighbours.
   */
  async count(concluded: readonly Concluded[]): Promise<void> {
    for (const { delivery, outcome } of concluded) {
      const { attempt, route } = delivery.event
      const { model } = route
      if (!this.isApart(model) || outcome.kind === 'not-servable') continue
      if (outcome.kind !== 'predicted' && outcome.failure.reason === 'timed-out') {
        if (attempt === 1) await this.#change(model, countTimedOut)
      } else if (this.#pool.find(model)?.apart?.inARow !== 0) await this.#change(model, countEnded)
    }
  }
}
