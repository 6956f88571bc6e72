import { describe, expect, test } from 'vitest'
import { collectionsOf } from '../../test/kit/churn.ts'

describe('requests that are answered are garbage at once, in a heap that is old', () => {
  test.each(['refusals', 'waits'])('where they went through: %s', async (part) => {
    const { whole, young } = await collectionsOf(part)
    expect(young).toBeGreaterThan(10)
    // Objects made by spreading others made it five, and a Set of those that wait six.
    expect(whole).toBeLessThanOrEqual(2)
  })
})
