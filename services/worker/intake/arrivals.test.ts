import { describe, expect, it } from 'vitest'
import { TURN_BYTES, Turns } from '../../../shared/runtime/turns.ts'
import type { Frame } from '../../../shared/sdk/jetstream/frame.ts'
import { type Arrival, Arrivals } from './arrivals.ts'

/** A message as it is counted: it has a body and a subject. */
function message(id: number, bytes: number): Frame & { readonly sid: number } {
  return { sid: id, subject: '', reply: '', headerBlock: new Uint8Array(), data: new Uint8Array(bytes) }
}

const messagesOf = (slice: readonly Arrival[]): readonly Frame[] => slice.map(({ message: each }) => each)

const workOf = ({ data }: Frame): number => (data.length > TURN_BYTES ? 0 : data.length)

async function workedOff(messages: readonly Frame[]) {
  let turn = 0
  const turns = new Turns((begin) => {
    setImmediate(() => {
      turn++
      begin()
    })
  })
  const slices: { readonly turn: number; readonly messages: readonly Frame[] }[] = []
  const arrivals = new Arrivals(turns, (slice) => void slices.push({ turn, messages: messagesOf(slice) }))
  arrivals.add(messages, 0)
  const atOnce = slices.length
  const count = (): number => slices.reduce((sum, slice) => sum + slice.messages.length, 0)
  while (count() < messages.length) await new Promise(setImmediate)
  return { slices, atOnce, arrivals }
}

describe('Arrivals', () => {
  it('hands over at once, together, what fits into a turn', async () => {
    const messages = Array.from({ length: 40 }, (_, id) => message(id, 200))
    const { slices, atOnce } = await workedOff(messages)
    expect(atOnce).toBe(1)
    expect(slices.map((slice) => slice.messages)).toEqual([messages])
  })

  it('works a flood off in its order, in no turn more of it than one event of 64 KB is', async () => {
    const messages = Array.from({ length: 1_000 }, (_, id) => message(id, id % 7 === 0 ? 30_000 : 200))
    const { slices } = await workedOff(messages)
    expect(slices.flatMap((slice) => slice.messages)).toEqual(messages)
    const byTurn = new Map<number, number>()
    for (const { turn, messages: slice } of slices) {
      byTurn.set(
        turn,
        slice.reduce((sum, each) => sum + workOf(each), byTurn.get(turn) ?? 0),
      )
    }
    expect(byTurn.size).toBeGreaterThan(50)
    expect(Math.max(...byTurn.values())).toBeLessThanOrEqual(TURN_BYTES)
  })

  it('counts of a message that is too large for the loop only what is read here', async () => {
    const messages = Array.from({ length: 60 }, (_, id) => message(id, 8 * 1024 ** 2))
    expect((await workedOff(messages)).slices).toHaveLength(1)
  })

  it('hands over whatever waits when it is flushed', () => {
    const slices: (readonly Arrival[])[] = []
    const arrivals = new Arrivals(new Turns(() => undefined), (slice) => void slices.push(slice))
    const messages = Array.from({ length: 10 }, (_, id) => message(id, 60_000))
    arrivals.add(messages.slice(0, 4), 1_000)
    arrivals.add(messages.slice(4), 2_000)
    expect(slices.flat()).toHaveLength(1)
    arrivals.flush()
    arrivals.flush()
    expect(messagesOf(slices.flat())).toEqual(messages)
    // However long they wait here: what counts is when they came.
    const since = slices.flat().map(({ sentSince }) => sentSince)
    expect(since).toEqual([...Array(4).fill(1_000), ...Array(6).fill(2_000)])
  })
})
