import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Room } from './room.ts'

describe('Room', () => {
  it('is as free as what is taken and released leaves, never less than nothing', () => {
    const taken = fc.tuple(fc.nat(100), fc.nat(5_000))
    fc.assert(
      fc.property(fc.array(taken), fc.array(fc.nat(50)), (takes, releases) => {
        const room = new Room({ rows: 200, bytes: 10_000 })
        const held = [...takes]
        for (const [rows, bytes] of takes) room.take(rows, bytes)
        for (const at of releases) {
          const [one] = held.splice(at, 1)
          if (one !== undefined) room.release(...one)
        }
        const rows = held.reduce((sum, [each]) => sum + each, 0)
        const bytes = held.reduce((sum, [, each]) => sum + each, 0)
        expect(room.rows).toBe(rows)
        expect(room.freeRows).toBe(Math.max(0, 200 - rows))
        expect(room.freeBytes).toBe(Math.max(0, 10_000 - bytes))
      }),
    )
  })

  it('keeps free for a lane what those below leave to it', () => {
    const room = new Room({ rows: 80, bytes: 1 })
    const free = () => (['high', 'normal', 'low'] as const).map((lane) => room.freeRowsFor(lane))
    expect(free()).toEqual([80, 70, 60])
    room.take(60, 0)
    expect(free()).toEqual([20, 10, 0])
  })

  it('remembers what was taken beyond its capacity', () => {
    const room = new Room({ rows: 1, bytes: 1 })
    room.take(3, 3)
    room.release(2, 2)
    expect(room.freeRows).toBe(0)
    room.release(1, 1)
    expect([room.freeRows, room.freeBytes]).toEqual([1, 1])
  })

  it.each([
    ['something is released', (room: Room) => room.release(1, 1)],
    ['it is woken', (room: Room) => room.wake()],
  ])('tells everybody who waits when %s, once', async (_what, act) => {
    const room = new Room({ rows: 1, bytes: 1 })
    room.take(1, 1)
    let woken = 0
    const waiting = [1, 2].map(() => room.released().then(() => woken++))
    await Promise.resolve()
    expect(woken).toBe(0)
    act(room)
    await Promise.all(waiting)
    const next = room.released().then(() => woken++)
    await Promise.resolve()
    expect(woken).toBe(2)
    room.wake()
    await next
  })
})
