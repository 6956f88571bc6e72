import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Codel } from './codel.ts'

/** Events that leave a queue: when, and how long they have waited, in targets. */
type Leaving = readonly [atMs: number, delay: number]

function judge(leaving: readonly Leaving[]): boolean[] {
  const codel = new Codel()
  return leaving.map(([atMs, delay]) => codel.isToGo(delay, atMs))
}

/** The rule by whole intervals, each looked at with the one before. */
function judgeByIntervals(leaving: readonly Leaving[]): boolean[] {
  const intervals: number[][] = []
  let endsAt = Number.NEGATIVE_INFINITY
  for (const [at, delay] of leaving) {
    if (at > endsAt) {
      intervals.push([])
      endsAt = at + 100
    }
    intervals.at(-1)?.push(delay)
  }
  return intervals.flatMap((delays, index) => {
    const isOverloaded = Math.min(...(intervals[index - 1] ?? [0])) > 1
    return delays.map((delay, place) => place > 0 && isOverloaded && delay > 2)
  })
}

const queue = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.double({ min: 0, max: 5, noNaN: true })), {
    minLength: 1,
    maxLength: 200,
  })
  .map((steps) => {
    let at = 0
    return steps.map(([after, delay]): Leaving => {
      at += after
      return [at, delay]
    })
  })

describe('Codel', () => {
  it('lets everything go on while the least delay of an interval is within the target', () => {
    expect(judge([0, 50, 101, 150, 202, 250].map((at) => [at, at === 50 || at === 150 ? 1 : 9]))).toEqual(
      Array(6).fill(false),
    )
  })

  it('gives up what is older than two targets once an interval had nothing within one, but its first', () => {
    const standing: Leaving[] = [0, 20, 40, 101, 120, 140, 160].map((at) => [at, 3])
    expect(judge(standing)).toEqual([false, false, false, false, true, true, true])
    expect(judge([...standing, [170, 2], [180, 2.1], [202, 3], [210, 2.1]]).slice(7)).toEqual([
      false,
      true,
      false,
      true,
    ])
  })

  it('is over with the first interval in which something was within the target', () => {
    const leaving: Leaving[] = [
      [0, 3],
      [101, 3],
      [110, 3],
      [120, 0.5],
      [202, 3],
      [210, 3],
    ]
    expect(judge(leaving)).toEqual([false, false, true, false, false, false])
  })

  it('says of any queue what the rule says of its intervals', () => {
    fc.assert(
      fc.property(queue, (leaving) => {
        expect(judge(leaving)).toEqual(judgeByIntervals(leaving))
      }),
    )
  })
})
