import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SendQueue } from './send-queue.ts'

describe('a send queue', () => {
  test('gives positions in order over all subjects, and again what came back', () => {
    const queue = new SendQueue(10, () => 1)
    for (const [position, subject] of [
      [1, 'a'],
      [2, 'b'],
      [3, 'a'],
      [4, 'b'],
    ] as const)
      queue.add(position, subject)
    expect(queue.take(3, 0)).toEqual([1, 2, 3])
    queue.settle(2, 'b')
    queue.putBack(3, 'a')
    queue.putBack(1, 'a')
    expect([queue.waiting, queue.underWay, queue.oldest()]).toEqual([3, 0, 1])
    expect(queue.take(9, 0)).toEqual([1, 3, 4])
  })

  test('lets others overtake a subject that pauses, and tries that one with a single send', () => {
    const queue = new SendQueue(10, () => 1)
    for (let position = 1; position <= 6; position++) queue.add(position, position < 5 ? 'full' : 'free')
    expect(queue.take(2, 0)).toEqual([1, 2])
    queue.pause('full', 0)
    queue.pause('full', 0) // of the same crowd: no further news
    queue.putBack(1, 'full')
    queue.putBack(2, 'full')
    expect(queue.take(9, 0)).toEqual([5, 6])
    const pauseMs = queue.pauseMs(0) ?? 0
    expect(pauseMs).toBe(100)
    expect(queue.take(9, pauseMs - 1)).toEqual([])
    expect(queue.take(9, pauseMs)).toEqual([1])
    queue.settle(1, 'full')
    expect(queue.take(9, pauseMs)).toEqual([2, 3])
    queue.pause('full', 1_000)
    queue.resume()
    expect(queue.pauseMs(1_000)).toBeUndefined()
  })

  test('tries those in doubt after all others, and of them the one tried longest ago', () => {
    const queue = new SendQueue(10, () => 1)
    for (const [position, subject] of [
      [1, 'x'],
      [2, 'y'],
      [3, 'a'],
      [4, 'x'],
    ] as const)
      queue.add(position, subject)
    expect(queue.take(2, 0)).toEqual([1, 2])
    queue.doubt('y', 0)
    queue.putBack(2, 'y')
    queue.doubt('x', 0)
    queue.putBack(1, 'x')
    expect(queue.take(9, 0)).toEqual([3])
    queue.add(5, 'a')
    expect(queue.take(9, 100)).toEqual([5, 2, 1])
    queue.settle(1, 'x')
    queue.add(6, 'a')
    expect(queue.take(9, 100)).toEqual([4, 6])
  })

  test('pauses a subject longer each time, up to ten seconds', () => {
    const queue = new SendQueue(1, () => 1)
    queue.add(1, 'a')
    const pauses: (number | undefined)[] = []
    for (let time = 0, i = 0; i < 9; i++) {
      queue.pause('a', time)
      pauses.push(queue.pauseMs(time))
      time += queue.pauseMs(time) ?? 0
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000])
  })

  test('loses and repeats nothing, whatever happens', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('add'), subject: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ kind: fc.constant('take'), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ kind: fc.constantFrom('settle', 'putBack', 'pause'), pick: fc.nat() }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const queue = new SendQueue(4, () => 1)
        const subjects = new Map<number, string>()
        const underWay: number[] = []
        const open = new Set<number>()
        let now = 0
        for (const one of steps) {
          now += 37
          if ('subject' in one) {
            const position = subjects.size + 1
            subjects.set(position, one.subject)
            open.add(position)
            queue.add(position, one.subject)
          } else if ('count' in one) {
            const taken = queue.take(one.count, now)
            for (const position of taken) expect(underWay).not.toContain(position)
            expect(taken).toEqual([...new Set(taken)].sort((x, y) => x - y))
            underWay.push(...taken)
          } else if (underWay.length > 0) {
            const [position = 0] = underWay.splice(one.pick % underWay.length, 1)
            const subject = subjects.get(position) ?? ''
            if (one.kind === 'settle') {
              queue.settle(position, subject)
              open.delete(position)
            } else {
              if (one.kind === 'pause') queue.pause(subject, now)
              queue.putBack(position, subject)
            }
          }
          expect([queue.waiting + queue.underWay, queue.underWay]).toEqual([open.size, underWay.length])
          expect(queue.oldest()).toBe(open.size === 0 ? undefined : Math.min(...open))
        }
        for (const position of underWay) queue.settle(position, subjects.get(position) ?? '')
        const rest: number[] = []
        for (let taken = queue.take(9, now); queue.waiting + taken.length > 0; taken = queue.take(9, now)) {
          rest.push(...taken)
          for (const position of taken) queue.settle(position, subjects.get(position) ?? '')
          now += 10_000
        }
        expect(rest.sort((x, y) => x - y)).toEqual([...open].filter((p) => !underWay.includes(p)))
      }),
    )
  })

  test('pauses a subject for as long as somebody said, and a little longer, again and again', () => {
    const queue = new SendQueue(10, () => 1)
    queue.add(1, 'refused')
    for (let now = 0; now < 1_000; now += 300) {
      expect(queue.take(9, now)).toEqual([1])
      queue.pause('refused', now, 200)
      queue.putBack(1, 'refused')
      expect(queue.pauseMs(now)).toBe(300)
    }
  })

  test('forgets subjects that have nothing left, and takes a hundred thousand in order', () => {
    const queue = new SendQueue(1_000)
    for (let position = 0; position < 100_000; position++) queue.add(position, 'a')
    for (let next = 0; next < 100_000; next += 500) {
      const taken = queue.take(500, 0)
      expect([taken.length, taken[0], taken.at(-1)]).toEqual([500, next, next + 499])
      for (const position of taken) queue.settle(position, 'a')
    }
    expect([queue.waiting, queue.underWay, queue.oldest()]).toEqual([0, 0, undefined])
  })
})
