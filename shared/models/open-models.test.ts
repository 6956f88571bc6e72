import { describe, expect, it } from 'vitest'
import { OpenModels } from './open-models.ts'

describe('OpenModels', () => {
  it('have room until one is closed for want of it, and then name the one that goes next', () => {
    const open = new OpenModels()
    for (const [at, key] of ['a', 'b', 'c'].entries()) open.use(key, at)
    expect(open.nextToGo).toBeUndefined()
    open.use('a', 3)
    open.closed('b')
    expect([open.has('b'), open.size, open.nextToGo]).toEqual([false, 2, 2])
    open.use('c', 4)
    expect(open.nextToGo).toBe(3)
  })

  it('have room again once one was closed as it was told to', () => {
    const open = new OpenModels()
    for (const [at, key] of ['a', 'b', 'c'].entries()) open.use(key, at)
    open.closed('a')
    expect(open.delete('b')).toBe(true)
    expect(open.delete('b')).toBe(false)
    expect(open.nextToGo).toBeUndefined()
  })
})
