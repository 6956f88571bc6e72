import { describe, expect, it } from 'vitest'
import type { Session } from './session.ts'
import { createSessionCache, type SessionCache } from './session-cache.ts'

function setUp(limits: { maxOpen?: number; maxFileBytes?: number }): { cache: SessionCache; log: string[] } {
  const log: string[] = []
  const cache = createSessionCache(
    async ({ key, path }) => {
      if (path === 'missing') throw new Error('no such file')
      log.push(`open ${key}`)
      const session: Session = {
        signature: { inputs: [], outputs: [], constants: [] },
        omittedOutputs: [],
        run: async () => [],
        release: async () => {
          log.push(`release ${key}`)
        },
      }
      return { session, fileBytes: Number(path) }
    },
    limits,
    (key) => log.push(`evicted ${key}`),
  )
  return { cache, log }
}

describe('session cache', () => {
  it('opens a model once and closes the one used least recently when there are too many', async () => {
    const { cache, log } = setUp({ maxOpen: 2 })
    for (const key of ['a', 'b', 'a', 'c']) await cache.take({ key, path: '1' })
    expect(log).toEqual(['open a', 'open b', 'open c', 'release b', 'evicted b'])
    expect(cache.openCount).toBe(2)
  })

  it('closes sessions until their files fit the limit, but never the newest', async () => {
    const { cache, log } = setUp({ maxFileBytes: 100 })
    for (const [key, path] of [
      ['a', '60'],
      ['b', '40'],
      ['c', '500'],
    ] as const)
      await cache.take({ key, path })
    expect(log).toEqual(['open a', 'open b', 'open c', 'release a', 'evicted a', 'release b', 'evicted b'])
    await cache.take({ key: 'd', path: '100' })
    expect(log.slice(-3)).toEqual(['open d', 'release c', 'evicted c'])
  })

  it('keeps nothing of a model that does not open', async () => {
    const { cache } = setUp({})
    await expect(cache.take({ key: 'a', path: 'missing' })).rejects.toThrow('no such file')
    expect(cache.openCount).toBe(0)
  })

  it('drops one and clears all', async () => {
    const { cache, log } = setUp({})
    for (const key of ['a', 'b', 'c']) await cache.take({ key, path: '1' })
    await cache.drop('b')
    await cache.drop('unknown')
    await cache.clear()
    expect(log.slice(3)).toEqual(['release b', 'release a', 'release c'])
  })
})
