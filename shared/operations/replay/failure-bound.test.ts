import { describe, expect, it } from 'vitest'
import { createFailureBound } from './failure-bound.ts'

describe('the failure bound', () => {
  it('says nothing before twenty outcomes, and counts only the last hundred', () => {
    const bound = createFailureBound(0.5)
    for (let i = 0; i < 19; i++) bound.add(true)
    expect(bound.tooMany()).toBeUndefined()
    bound.add(true)
    expect(bound.tooMany()).toEqual({ failed: 20, of: 20 })
    for (let i = 0; i < 20; i++) bound.add(false)
    expect(bound.tooMany()).toBeUndefined() // half is not more than half
    for (let i = 0; i < 51; i++) bound.add(true)
    for (let i = 0; i < 20; i++) bound.add(false)
    expect(bound.tooMany()).toEqual({ failed: 60, of: 100 }) // the first eleven are forgotten
  })

  it('never stops at a bound of 1', () => {
    const bound = createFailureBound(1)
    for (let i = 0; i < 200; i++) bound.add(true)
    expect(bound.tooMany()).toBeUndefined()
  })
})
