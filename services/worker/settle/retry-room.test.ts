import { beforeEach, describe, expect, it } from 'vitest'
import { keptInRetries } from '../../../shared/sdk/contract/bounds.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Delivery } from '../intake/delivery.ts'
import { type Bound, leftOf, type RetriesLook, RetryRoom, type RetryRoomDeps } from './retry-room.ts'

describe('what one worker may still add', () => {
  const bound: Bound = {
    most: { events: 100, bytes: 1_000 },
    held: { events: 40, bytes: 100 },
    added: { events: 0, bytes: 0 },
    workers: 3,
  }

  it('is the share of this worker of what was left, less what it has added since', () => {
    expect(leftOf(bound)).toEqual({ events: 20, bytes: 300 })
    expect(leftOf({ ...bound, added: { events: 15, bytes: 299 } })).toEqual({ events: 5, bytes: 1 })
  })

  it('is nothing beyond the bound, by whatever the lane was filled', () => {
    expect(leftOf({ ...bound, held: { events: 130, bytes: 100 } }).events).toBe(0)
    expect(leftOf({ ...bound, held: { events: 1, bytes: 1_001 } }).bytes).toBe(0)
  })
})

describe('the room in RETRIES', () => {
  const MIB = 1024 ** 2
  const EMPTY: RetriesLook = { events: 0, bytes: 0, lastSequence: 0, maxBytes: 256 * MIB, pools: 1 }
  let look: RetriesLook
  let looks: number

  beforeEach(() => {
    look = EMPTY
    looks = 0
  })

  const open = (given: Partial<RetryRoomDeps> = {}): RetryRoom =>
    new RetryRoom({
      inRetries: () => look,
      lookAgain: () => void looks++,
      most: { events: 100_000, bytes: 1024 * MIB },
      workers: () => 1,
      maxMessageBytes: MIB,
      ...given,
    })
  /** A copy of its own was stored that counts nothing. */
  const store = (room: RetryRoom, sequence: number): void => room.answered(delivered(1), sequence)
  const delivered = (sizeBytes: number, stream: string = STREAMS.features): Delivery =>
    ({ info: { stream }, sizeBytes }) as Delivery

  it('is a quarter of the bound of the stream, however much workers would keep', () => {
    expect(open().left()).toEqual({ events: 100_000, bytes: 64 * MIB })
    expect(keptInRetries(look.maxBytes)).toBe(64 * MIB)
  })

  it('is what workers keep where the stream has no bound, or a large one', () => {
    look = { ...EMPTY, maxBytes: Number.POSITIVE_INFINITY }
    expect(open().left().bytes).toBe(1024 * MIB)
    look = { ...EMPTY, maxBytes: 2 ** 50 }
    expect(open().left().bytes).toBe(1024 * MIB)
  })

  it('is narrower for a kind of copies that has a bound of its own', () => {
    expect(open().left({ events: 10, bytes: MIB })).toEqual({ events: 10, bytes: MIB })
  })

  it('counts each copy before it is stored, and what is there at the next look instead', () => {
    const room = open()
    const copy = delivered(64 * MIB - 2_000)
    room.take(copy)
    expect(room.hasRoomFor(delivered(2_000))).toBe(false)
    room.answered(copy, 1)
    expect(room.hasRoomFor(delivered(2_000))).toBe(false)
    look = { ...EMPTY, events: 1, bytes: 10 * MIB, lastSequence: 1 }
    expect(room.left()).toEqual({ events: 99_999, bytes: 54 * MIB })
  })

  it('counts a copy on its way over a look that came before it was there, and once where the look has it', () => {
    const room = open()
    const [early, late, lost] = [delivered(20 * MIB), delivered(30 * MIB), delivered(10 * MIB)]
    for (const copy of [early, late, lost]) room.take(copy)
    look = { ...EMPTY, events: 1, bytes: 20 * MIB, lastSequence: 1 }
    expect(room.left().bytes).toBe(0)
    room.answered(early, 1)
    room.answered(late, 2)
    room.answered(lost, undefined) // it may be stored yet
    expect(room.left().bytes).toBe(4 * MIB - 2 * 1024)
    look = { ...EMPTY, events: 2, bytes: 50 * MIB, lastSequence: 2 }
    expect(room.left().bytes).toBe(14 * MIB)
  })

  it('is shared with the workers of other pools where the stream is what bounds it', () => {
    look = { ...EMPTY, pools: 5 }
    const rooms = Array.from({ length: 10 }, () => open({ workers: () => 2 }))
    const copy = delivered(MIB - 1024)
    let takenBytes = 0
    for (const room of rooms)
      for (; room.hasRoomFor(copy); takenBytes += MIB) room.take(delivered(MIB - 1024))
    expect(takenBytes).toBeGreaterThan(0)
    expect(takenBytes).toBeLessThanOrEqual(keptInRetries(look.maxBytes))
    look = { ...look, maxBytes: Number.POSITIVE_INFINITY }
    expect(open({ workers: () => 2 }).left().bytes).toBe(512 * MIB)
  })

  it('is there for a copy that comes from there: it takes its own place', () => {
    look = { ...EMPTY, events: 5, bytes: 100 * MIB }
    const room = open()
    expect(room.hasRoomFor(delivered(1))).toBe(false)
    expect(room.hasRoomFor(delivered(1, STREAMS.retries))).toBe(true)
  })

  it('is looked at again when the sequence of a copy tells that others added much, and is none when they may have filled it', () => {
    const room = open()
    const own = delivered(100)
    room.take(own)
    room.answered(own, 1)
    expect([room.left().bytes > 0, looks]).toEqual([true, 0])
    store(room, 1 + 33) // 32 messages of others in between: at 1 MiB each half of what may be kept
    room.left()
    expect(looks).toBe(0)
    store(room, 1 + 35)
    expect([room.left().bytes > 0, looks]).toEqual([true, 1])
    store(room, 200)
    expect(room.left()).toEqual({ events: 0, bytes: 0 })
    look = { ...EMPTY, lastSequence: 200, bytes: 1_000, events: 3 }
    expect(room.left()).toEqual({ events: 99_997, bytes: 64 * MIB - 1_000 })
  })

  it('does not take its own copies for those of others', () => {
    const room = open()
    for (let sequence = 1; sequence <= 1_000; sequence++) store(room, sequence)
    room.left()
    expect(looks).toBe(0)
  })
})
