import { beforeEach, describe, expect, it } from 'vitest'
import { keptInRetries } from '../../shared/sdk/contract/bounds.ts'
import type { Delivery } from './intake/delivery.ts'
import { RetryRoom } from './settle/retry-room.ts'
import { REMEMBERED_MS, UNKNOWN_WORKERS, WorkerCount } from './worker-count.ts'

/** How often a worker looks at its streams, and counts. */
const LOOK_MS = 5_000

let nowMs: number
/** Workers whose presence the bucket takes. */
let heard: string[]
/** Whether it ever took that of the worker that counts. */
let isPresent: boolean

beforeEach(() => {
  nowMs = 1_000
  heard = ['a', 'b', 'c']
  isPresent = true
})

const open = (own = 'a'): WorkerCount =>
  new WorkerCount({ alive: () => heard, own, isPresent: () => isPresent, now: () => nowMs })
/** Looks again and again for so long. */
const pass = (count: WorkerCount, ms: number): void => {
  for (const end = nowMs + ms; nowMs < end; nowMs += LOOK_MS) count.look()
}

describe('how many workers share what is for all of them', () => {
  it('grows at once, and falls ten minutes after the last that was higher', () => {
    const count = open()
    expect(count.most).toBe(3)
    heard = ['a', 'b', 'c', 'd', 'e']
    expect(count.most).toBe(5)
    heard = ['a', 'b']
    pass(count, REMEMBERED_MS / 2)
    heard = ['a', 'b', 'c']
    expect(count.most).toBe(5)
    pass(count, REMEMBERED_MS / 2 + 2 * LOOK_MS)
    expect(count.most).toBe(3)
    heard = ['a']
    pass(count, REMEMBERED_MS + 2 * LOOK_MS)
    expect(count.most).toBe(1)
  })

  it('is what it was for as long as the bucket refuses, and until the others are heard again', () => {
    const count = open()
    heard = []
    pass(count, 10 * REMEMBERED_MS)
    expect(count.most).toBe(3)
    heard = ['a'] // its own presence is heard first
    expect(count.most).toBe(3)
    heard = ['a', 'b', 'c']
    pass(count, REMEMBERED_MS)
    expect(count.most).toBe(3)
  })

  it('is the highest also where only presences of others are refused', () => {
    const count = open()
    heard = ['a']
    pass(count, REMEMBERED_MS - LOOK_MS)
    expect(count.most).toBe(3)
  })

  it('is taken for many by a worker that was never heard', () => {
    heard = []
    const count = open()
    expect(count.most).toBe(UNKNOWN_WORKERS)
    heard = ['b', 'c'] // heard before the bucket was full; how many came since nobody knows
    expect(count.most).toBe(UNKNOWN_WORKERS)
    heard = ['a', 'b', 'c']
    expect(count.most).toBe(3)
  })
})

describe('a worker that is started again under its name while the bucket refuses', () => {
  it('does not go by the presence of the process before it, which tells nothing of who came since', () => {
    isPresent = false
    heard = ['a']
    const count = open()
    pass(count, REMEMBERED_MS)
    expect(count.most).toBe(UNKNOWN_WORKERS)
    isPresent = true
    heard = ['a', 'b']
    expect(count.most).toBe(2)
  })
})

describe('with the bucket of presences at its bound', () => {
  const MIB = 1024 ** 2
  const look = { events: 0, bytes: 0, lastSequence: 0, maxBytes: 256 * MIB, pools: 1 }
  const copy = (): Delivery => ({ info: { stream: 'FEATURES' }, sizeBytes: 512 * 1024 - 1024 }) as Delivery

  /** What rooms take together before the next look, bytes. */
  const takenBy = (counts: readonly WorkerCount[]): number => {
    let taken = 0
    for (const count of counts) {
      const room = new RetryRoom({
        inRetries: () => look,
        lookAgain: () => undefined,
        most: { events: 100_000, bytes: 1024 * MIB },
        workers: () => count.most,
        maxMessageBytes: MIB,
      })
      for (let next = copy(); room.hasRoomFor(next); next = copy()) {
        room.take(next)
        taken += MIB / 2
      }
    }
    return taken
  }

  it('workers take no more of RETRIES together than all of them may', () => {
    const counts = heard.map(open)
    heard = []
    for (const count of counts) pass(count, REMEMBERED_MS)
    const together = takenBy(counts)
    expect(together).toBeGreaterThan(keptInRetries(look.maxBytes) / 2)
    expect(together).toBeLessThanOrEqual(keptInRetries(look.maxBytes))
  })

  it('nor do those that start then, and each has some room', () => {
    heard = []
    const counts = Array.from({ length: 50 }, (_, index) => open(`new-${index}`))
    expect(takenBy(counts.slice(0, 1))).toBeGreaterThan(0)
    expect(takenBy(counts)).toBeLessThanOrEqual(keptInRetries(look.maxBytes))
  })
})
