import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RetryBudget } from './retry-budget.ts'

function spendAll(budget: RetryBudget): number {
  let spent = 0
  while (budget.spend()) spent++
  return spent
}

describe('RetryBudget', () => {
  it('lets a fresh worker retry as often as may be saved up', () => {
    expect(spendAll(new RetryBudget())).toBe(100)
    expect(spendAll(new RetryBudget(0.1, 5))).toBe(5)
  })

  it('earns one retry with ten successes, not with nine', () => {
    const budget = new RetryBudget(0.1, 5)
    spendAll(budget)
    for (let i = 0; i < 9; i++) budget.succeeded()
    expect(budget.spend()).toBe(false)
    budget.succeeded()
    expect(spendAll(budget)).toBe(1)
  })

  it('saves up no more than its most', () => {
    const budget = new RetryBudget(0.5, 5)
    for (let i = 0; i < 1_000; i++) budget.succeeded()
    expect(spendAll(budget)).toBe(5)
  })

  it('never costs more than a tenth of the successes beyond what was saved up', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 2_000 }), (events) => {
        const budget = new RetryBudget(0.1, 10)
        let successes = 0
        let retries = 0
        for (const isSuccess of events) {
          if (isSuccess) {
            budget.succeeded()
            successes++
          } else if (budget.spend()) retries++
          expect(retries).toBeLessThanOrEqual(10 + successes / 10 + 1e-6)
        }
      }),
    )
  })
})
