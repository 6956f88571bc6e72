import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { AskingEvent } from './admission.ts'
import type { Refused } from './refused.ts'
import { type Waiting, WaitingRoom } from './waiting-room.ts'

const REFUSED: Refused = {
  ...{
    limit: 'backlog',
    value: 1,
    measured: 2,
    unit: 'ms',
    retryAfterMs: 100,
    isOfSource: false,
    because: 'much waits',
  },
}

let asked: AskingEvent[]
/** How many of those that ask from now on are let in. */
let places: number

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  asked = []
  places = 0
})

afterEach(() => {
  vi.useRealTimers()
})

function open(most = 1_000): WaitingRoom {
  const decide = (event: AskingEvent): Refused | undefined => {
    asked.push(event)
    return places-- > 0 ? undefined : REFUSED
  }
  return new WaitingRoom({ decide, most })
}

/** One that waits in a room, and what became of it. */
function enter(
  room: WaitingRoom,
  source: string,
  given: Partial<Waiting> & { readonly model?: string } = {},
) {
  const { model = 'm', ...waiting } = given
  const event = { pool: 'default', model, lane: 'normal', source } as const
  const one: { end?: 'let in' | 'refused' } = {}
  const until = { deadlineAtMs: undefined, untilMs: performance.now() + 5_000 }
  void room.enter({ event, ...until, ...waiting }, REFUSED).then((refused) => {
    one.end = refused === undefined ? 'let in' : 'refused'
  })
  return one
}

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

describe('WaitingRoom', () => {
  it('asks again not before it was told, and not for each that waits', async () => {
    const room = open()
    for (let each = 0; each < 100; each++) enter(room, `s${each}`)
    await pass(99)
    expect(asked).toEqual([])
    await pass(51)
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatchObject({ pool: 'default', model: 'm', lane: 'normal', isAgain: true })
    expect(room.size).toBe(100)
    room.close()
  })

  it('lets in as many as the door does: those without a deadline as they came', async () => {
    const room = open()
    const all = ['a', 'b', 'c'].map((source) => enter(room, source))
    places = 2
    await pass(150)
    expect(all.map(({ end }) => end)).toEqual(['let in', 'let in', undefined])
    expect(asked.map(({ source }) => source)).toEqual(['a', 'b', 'c'])
    room.close()
  })

  it('lets the last in first of those with a deadline, and tells the door what is left of it', async () => {
    const room = open()
    const now = performance.now()
    for (const source of ['a', 'b', 'c']) enter(room, source, { deadlineAtMs: now + 2_000 })
    places = 2
    await pass(150)
    expect(asked.map(({ source }) => source)).toEqual(['c', 'b', 'a'])
    for (const { deadlineMs } of asked) {
      expect(deadlineMs).toBeLessThanOrEqual(1_900)
      expect(deadlineMs).toBeGreaterThanOrEqual(1_850)
    }
    room.close()
  })

  it('refuses each when it has waited as long as it may', async () => {
    const room = open()
    const now = performance.now()
    const [short, long] = [
      enter(room, 'short', { untilMs: now + 220 }),
      enter(room, 'long', { untilMs: now + 1_000 }),
    ]
    await pass(210)
    expect([short.end, long.end]).toEqual([undefined, undefined])
    await pass(50)
    expect([short.end, long.end]).toEqual(['refused', undefined])
    await pass(1_000)
    expect(long.end).toBe('refused')
    expect([room.size, vi.getTimerCount()]).toEqual([0, 0])
  })

  it('refuses at once who has to come back when it may wait no longer, and who finds it full', async () => {
    const room = open(1)
    const hasty = enter(room, 'hasty', { untilMs: performance.now() + 99 })
    const first = enter(room, 'first')
    const second = enter(room, 'second')
    await pass(0)
    expect([hasty.end, first.end, second.end]).toEqual(['refused', undefined, 'refused'])
    room.close()
  })

  it('does not keep one longer because of another that may wait longer', async () => {
    const room = open()
    const event = { pool: 'default', model: 'm', lane: 'normal', source: 'slow' } as const
    const slow = { event, deadlineAtMs: undefined, untilMs: performance.now() + 60_000 }
    void room.enter(slow, { ...REFUSED, retryAfterMs: 30_000 })
    const quick = enter(room, 'quick', { untilMs: performance.now() + 200 })
    await pass(260)
    expect(quick.end).toBe('refused')
    expect(room.size).toBe(1)
    room.close()
  })

  it('keeps models apart', async () => {
    const room = open()
    enter(room, 'a', { model: 'one' })
    enter(room, 'b', { model: 'other' })
    await pass(150)
    expect(asked.map(({ model }) => model).sort()).toEqual(['one', 'other'])
    room.close()
  })

  it('leaves no timer once all are let in', async () => {
    const room = open()
    const one = enter(room, 'a')
    places = 1
    await pass(150)
    expect([one.end, room.size, vi.getTimerCount()]).toEqual(['let in', 0, 0])
  })

  it('refuses all who wait when it closes', async () => {
    const room = open()
    const all = [enter(room, 'a'), enter(room, 'b', { model: 'other' })]
    room.close()
    await pass(0)
    expect(all.map(({ end }) => end)).toEqual(['refused', 'refused'])
    expect([room.size, vi.getTimerCount()]).toEqual([0, 0])
  })
})
