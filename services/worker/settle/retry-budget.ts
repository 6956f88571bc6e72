/**
 * Retries may cost at most a share of the successes, so that a failing model cannot multiply its own load
 * (Google SRE book, chapter 22). A token bucket: each success adds a part of a retry.
 */
export class RetryBudget {
  readonly #perSuccess: number
  readonly #most: number
  #tokens: number

  /**
   * @param perSuccess retries earned by a success
   * @param most retries that may be saved up, and that a fresh worker has
   */
  constructor(perSuccess = 0.1, most = 100) {
    this.#perSuccess = perSuccess
    this.#most = most
    this.#tokens = most
  }

  succeeded(): void {
    this.#tokens = Math.min(this.#most, this.#tokens + this.#perSuccess)
  }

  /** Spends one retry; false when the budget is used up. */
  spend(): boolean {
    // Ten tenths add up to a little less than one.
    if (this.#tokens < 1 - 1e-9) return false
    this.#tokens = Math.max(0, this.#tokens - 1)
    return true
  }
}

/** A budget for each model: one that fails does not spend the retries of another. */
export class RetryBudgets {
  readonly #budgets = new Map<string, RetryBudget>()

  of(model: string): RetryBudget {
    const budget = this.#budgets.get(model) ?? new RetryBudget()
    this.#budgets.set(model, budget)
    return budget
  }
}
