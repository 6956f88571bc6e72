import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { UnavailableModels } from './unavailable.ts'

const model = { key: 'm/1@abc', name: 'm', version: '1' } as ServedModel

describe('models that could not be opened', () => {
  let tries: number
  let isThere: boolean
  let models: UnavailableModels

  beforeEach(() => {
    vi.useFakeTimers()
    tries = 0
    isThere = false
    models = new UnavailableModels(async () => {
      tries++
      if (!isThere) throw new Error('its file is gone')
    })
  })
  afterEach(() => {
    models.close()
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
  })

  it('are tried again with growing pauses, and are well once they load', async () => {
    expect(models.why(model)).toBeUndefined()
    models.add(model, 'it cannot be read')
    models.add(model, 'again')
    expect(models.why(model)).toBe('it cannot be read')
    await vi.advanceTimersByTimeAsync(500)
    expect([tries, models.why(model)]).toEqual([1, 'its file is gone'])
    await vi.advanceTimersByTimeAsync(999)
    expect(tries).toBe(1)
    isThere = true
    await vi.advanceTimersByTimeAsync(1)
    expect([tries, models.why(model)]).toEqual([2, undefined])
    await vi.advanceTimersByTimeAsync(600_000)
    expect(tries).toBe(2)
  })

  it('are tried twice a minute at least', async () => {
    models.add(model, 'gone')
    await vi.advanceTimersByTimeAsync(60_000)
    const before = tries
    await vi.advanceTimersByTimeAsync(300_000)
    expect(tries - before).toBe(10)
  })
})
