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
  const EMPTY: RetriesLook = { events: 0, bytes: 0, lastSequence: 0, maxBytes: 256 * MIB }
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
    room.take(delivered(64 * MIB - 2_000))
    expect(room.hasRoomFor(delivered(2_000))).toBe(false)
    look = { ...EMPTY, events: 1, bytes: 10 * MIB, lastSequence: 1 }
    expect(room.left()).toEqual({ events: 99_999, bytes: 54 * MIB })
  })

  it('is there for a copy that comes from there: it takes its own place', () => {
    look = { ...EMPTY, events: 5, bytes: 100 * MIB }
    const room = open()
    expect(room.hasRoomFor(delivered(1))).toBe(false)
    expect(room.hasRoomFor(delivered(1, STREAMS.retries))).toBe(true)
  })

  it('is looked at again when the sequence of a copy tells that others added much, and is none when they may have filled it', () => {
    const room = open()
    room.take(delivered(100))
    room.stored(1)
    expect([room.left().bytes > 0, looks]).toEqual([true, 0])
    room.stored(1 + 33) // 32 messages of others in between: at 1 MiB each half of what may be kept
    room.left()
    expect(looks).toBe(0)
    room.stored(1 + 35)
    expect([room.left().bytes > 0, looks]).toEqual([true, 1])
    room.stored(200)
    expect(room.left()).toEqual({ events: 0, bytes: 0 })
    look = { ...EMPTY, lastSequence: 200, bytes: 1_000, events: 3 }
    expect(room.left()).toEqual({ events: 99_997, bytes: 64 * MIB - 1_000 })
  })

  it('does not take its own copies for those of others', () => {
    const room = open()
    for (let sequence = 1; sequence <= 1_000; sequence++) room.stored(sequence)
    room.left()
    expect(looks).toBe(0)
  })
})
