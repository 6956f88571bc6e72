import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { deliveryOf } from '../../../test/kit/deliveries.ts'
import type { Delivery } from './delivery.ts'
import { HeldDeliveries } from './held.ts'
import { Room } from './room.ts'

const ACK_WAIT_MS = 30_000
const BEAT_MS = ACK_WAIT_MS / 3

let now: number
let held: HeldDeliveries
let room: Room
/** What was said, and to which sequence. */
let said: string[]
let late: number[]
/** Ends the pings that are on their way: answered, or lost with the connection. */
let pings: { readonly answer: () => void; readonly lose: () => void }[]

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  now = 0
  said = []
  late = []
  pings = []
  room = new Room({ rows: 80, bytes: 1_000_000 })
  const connection = {
    isClosed: () => false,
    publish: (subject: string, word: Uint8Array) =>
      void said.push(`${Buffer.from(word).toString().split(' ')[0]} ${subject.split('.').at(-1)}`),
    flush: () =>
      new Promise<void>((resolve, reject) =>
        pings.push({ answer: resolve, lose: () => reject(new Error('connection disconnected')) }),
      ),
  }
  held = new HeldDeliveries(connection as unknown as NatsConnection, room, {
    ackWaitMs: ACK_WAIT_MS,
    onLate: (count) => void late.push(count),
    clock: () => now,
  })
})

afterEach(() => {
  held.close()
  vi.useRealTimers()
})

/** Takes deliveries that arrive now, with room for a row of each. */
function arrive(...sequences: readonly number[]): readonly Delivery[] {
  const { sentSince } = held
  const deliveries = sequences.map((sequence) => ({ ...deliveryOf({ model: 'm', sequence }), sentSince }))
  for (const { rows, sizeBytes } of deliveries) room.take(rows, sizeBytes)
  held.add(deliveries)
  return deliveries
}

/** Lets time pass in which the process runs. */
function pass(ms: number): void {
  now += ms
  vi.advanceTimersByTime(ms)
}

/** Time passes, and the process stands still: its timers are due once when it goes on. */
function standStill(ms: number): void {
  now += ms
}

async function answer(): Promise<void> {
  for (const ping of pings.splice(0)) ping.answer()
  await settled()
}

const settled = () => new Promise(setImmediate)

describe('rows', () => {
  function hold(...lanes: readonly Lane[]): readonly Delivery[] {
    const deliveries = lanes.map((lane): Delivery => {
      const delivery = deliveryOf({ model: 'm' })
      return { ...delivery, event: { ...delivery.event, route: { ...delivery.event.route, lane } } }
    })
    for (const { rows, sizeBytes } of deliveries) room.take(rows, sizeBytes)
    return held.add(deliveries)
  }

  it('found in events of a lane take nothing of what it leaves to those above it, however many they are', () => {
    const deliveries = hold('low', 'low', 'normal', 'high')
    for (const delivery of deliveries) held.countRows(delivery, 50_000)
    expect(deliveries.map(({ rows }) => rows)).toEqual([57, 1, 11, 11])
    expect(room.rows).toBe(80)
    held.acknowledgeAll(deliveries)
    expect([room.rows, room.freeRowsFor('high')]).toEqual([0, 80])
  })

  it('of an event that fit are counted as they are', () => {
    const [first] = hold('low')
    held.countRows(first as Delivery, 7)
    expect([first?.rows, room.rows]).toEqual([7, 7])
  })

  it('are to be run from when they are known, all of them, until they ran or the event is let go of', () => {
    const [low, normal, high, unread] = hold('low', 'normal', 'high', 'high') as Delivery[]
    const toRun = (): readonly (readonly [Delivery, number])[] => {
      const found: [Delivery, number][] = []
      held.toRun((...one) => found.push(one))
      return found
    }
    expect(toRun()).toEqual([])
    for (const delivery of [low, normal, high]) held.countRows(delivery as Delivery, 500)
    expect(toRun()).toEqual([low, normal, high].map((delivery) => [delivery, 500]))
    held.ran([{ delivery: low as Delivery }])
    held.giveBack(normal as Delivery)
    expect(toRun()).toEqual([[high, 500]])
    expect([held.size, unread?.hold?.rowsToRun]).toEqual([3, 0])
  })
})

describe('a delivery', () => {
  it('is kept as long as the broker answers, however long that is', async () => {
    const [delivery] = arrive(1) as [Delivery]
    for (let beat = 0; beat < 20; beat++) {
      pass(BEAT_MS)
      await answer()
      expect(held.isKept(delivery)).toBe(true)
    }
    held.giveBack(delivery)
    expect(said).toEqual([...Array(20).fill('+WPI 1'), '-NAK 1'])
    expect(late).toEqual([])
  })

  it('is another’s once the process stood still for ack_wait, and stays so', async () => {
    const [first, second] = arrive(1, 2) as [Delivery, Delivery]
    pass(BEAT_MS)
    await answer()
    standStill(ACK_WAIT_MS + 1)
    expect(held.isKept(first)).toBe(false)
    pass(BEAT_MS)
    await answer()
    expect([held.isKept(first), held.isKept(second)]).toEqual([false, false])
    expect(late).toEqual([2])
  })

  it('is not said to be in progress, and not given back, once it is another’s', async () => {
    const [first, second, third] = arrive(1, 2, 3) as [Delivery, Delivery, Delivery]
    standStill(ACK_WAIT_MS + 1)
    pass(BEAT_MS)
    await answer()
    held.giveBack(first)
    held.drop(second)
    expect(said).toEqual([])
    held.acknowledgeAll([third])
    expect(said).toEqual(['+ACK 3'])
    expect([held.size, room.rows]).toEqual([0, 0])
  })

  it('is another’s where the broker does not answer, though this process goes on', async () => {
    const [delivery] = arrive(1) as [Delivery]
    for (let beat = 0; beat < 3; beat++) pass(BEAT_MS)
    expect(held.isKept(delivery)).toBe(true)
    pass(1)
    expect(held.isKept(delivery)).toBe(false)
    await answer()
    expect(held.isKept(delivery)).toBe(false)
  })

  it('is another’s where its word is answered only after ack_wait: nobody knows when it was heard', async () => {
    const [delivery] = arrive(1) as [Delivery]
    pass(BEAT_MS)
    standStill(ACK_WAIT_MS)
    await answer()
    expect(held.isKept(delivery)).toBe(false)
  })

  it('that came while the process stood still is as old as the last answer before', async () => {
    pass(BEAT_MS)
    await answer()
    standStill(ACK_WAIT_MS + 1)
    const [delivery] = arrive(1) as [Delivery]
    expect([held.size, room.rows, late]).toEqual([0, 0, [1]])
    expect(held.isKept(delivery)).toBe(false)
    pass(BEAT_MS)
    await answer()
    const [next] = arrive(2) as [Delivery]
    expect(held.isKept(next)).toBe(true)
  })

  it('that came after a word to others is not kept by it', async () => {
    pass(BEAT_MS)
    const [delivery] = arrive(1) as [Delivery]
    await answer() // to what was said before it came
    standStill(ACK_WAIT_MS - BEAT_MS + 1)
    expect(held.isKept(delivery)).toBe(false)
  })

  it('of a new connection is no older than the end of the one before', async () => {
    standStill(ACK_WAIT_MS)
    pass(BEAT_MS)
    for (const ping of pings.splice(0)) ping.lose()
    await settled()
    const [delivery] = arrive(1) as [Delivery]
    expect(held.isKept(delivery)).toBe(true)
  })

  it('is the same in another form', async () => {
    const [delivery, other] = arrive(1, 2) as [Delivery, Delivery]
    const read = { ...delivery }
    expect(held.replace(delivery, read)).toBe(true)
    expect([held.isKept(delivery), held.isKept(read)]).toEqual([false, true])
    standStill(ACK_WAIT_MS + 1)
    expect(held.isKept(other)).toBe(false)
    const again = { ...read }
    held.replace(read, again)
    expect(held.isKept(again)).toBe(false)
    expect(late).toEqual([2])
  })
})
