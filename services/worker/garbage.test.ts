import { describe, expect, test } from 'vitest'
import { collectionsOf } from '../../test/kit/churn.ts'

describe('events that have gone are garbage at once, in a heap that is old', () => {
  test.each(['held', 'dispatcher', 'flows'])('where they went through: %s', async (part) => {
    const { whole, young } = await collectionsOf(part)
    expect(young).toBeGreaterThan(10)
    // A Set there made it three and six.
    expect(whole).toBeLessThanOrEqual(2)
  })
})
