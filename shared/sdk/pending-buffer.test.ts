import { describe, expect, test } from 'vitest'
import { PendingBuffer } from './pending-buffer.ts'

describe('a pending buffer', () => {
  test('lets go whoever gives up waiting, and whoever waits behind gets in', async () => {
    const buffer = new PendingBuffer(10, 100)
    await buffer.enter(60)
    const giveUp = new AbortController()
    const large = buffer.enter(80, giveUp.signal)
    let isIn = false
    const small = buffer.enter(40).then(() => {
      isIn = true
    })
    expect(buffer.tryEnter(1)).toBe(false) // others wait
    await Promise.resolve()
    expect([isIn, buffer.size]).toEqual([false, 3])
    giveUp.abort(new Error('enough'))
    await expect(large).rejects.toThrow('enough')
    await small
    expect(buffer.taken).toEqual({ messages: 2, bytes: 100 })
    await expect(buffer.enter(1, giveUp.signal)).rejects.toThrow('enough')
  })

  test('counts what was there before, also beyond its limits', async () => {
    const buffer = new PendingBuffer(2, 100)
    buffer.occupy(3, 300)
    expect(buffer.tryEnter(1)).toBe(false)
    for (let i = 0; i < 2; i++) buffer.leave(100)
    expect(buffer.tryEnter(1)).toBe(false) // its bytes are taken
    buffer.leave(100)
    expect(buffer.tryEnter(1)).toBe(true)
  })
})
