import { describe, expect, it } from 'vitest'
import { recoveryIn, type Seen } from './leader-watch.ts'

/** Answers of a stream's leader: `[at, leader, since]`, and of a consumer's with what it has handed out. */
function group(...answers: readonly (readonly [number, string, string, number?])[]): Seen[] {
  return answers.map(([at, leader, since, handedOut]) => ({ at, leader, since, handedOut }))
}

describe('a recovery', () => {
  const before = [10, 'n1', 'a'] as const

  it('is elected when the last group is, and resumed with the first delivery after that', () => {
    const stream = group(before, [50, 'n2', 'b'], [60, 'n2', 'b'], [90, 'n2', 'b'])
    const consumer = group([10, 'n1', 'a', 5], [40, 'n3', 'b', 5], [55, 'n3', 'b', 7], [90, 'n3', 'b', 8])
    expect(recoveryIn([stream, consumer], 'n1')).toEqual({ electedAt: 50, resumedAt: 55 })
  })

  it('does not count what was handed out before the last group was elected', () => {
    const stream = group(before, [50, 'n2', 'b'], [90, 'n2', 'b'])
    const consumer = group([40, 'n3', 'b', 5], [45, 'n3', 'b', 9], [60, 'n3', 'b', 9], [90, 'n3', 'b', 10])
    expect(recoveryIn([stream, consumer], 'n1')).toEqual({ electedAt: 50, resumedAt: 90 })
  })

  it.each([
    ['to another', 'n3', 'c'],
    ['to itself, in another election', 'n2', 'c'],
  ])('begins anew where a group loses its leader %s', (_how, leader, since) => {
    const stream = group(before, [30, 'n2', 'b'], [70, leader, since], [100, leader, since])
    const consumer = group([20, 'n3', 'b', 5], [35, 'n3', 'b', 6], [80, 'n3', 'b', 7])
    expect(recoveryIn([stream, consumer], 'n1')).toEqual({ electedAt: 70, resumedAt: 80 })
  })

  it.each([
    ['one group is led by the old leader still', group(before, [99, 'n1', 'a'])],
    ['the old leader has one group back', group(before, [50, 'n2', 'b'], [99, 'n1', 'c'])],
    ['one group has not answered at all', group()],
    ['one group has not answered since the delivery', group(before, [50, 'n2', 'b'], [59, 'n2', 'b'])],
  ])('is none yet while %s', (_why, stream) => {
    const consumer = group([40, 'n3', 'b', 5], [60, 'n3', 'b', 6])
    expect(recoveryIn([stream, consumer], 'n1')).toBeUndefined()
  })

  it('is none yet while nothing is handed out', () => {
    const stream = group(before, [50, 'n2', 'b'], [99, 'n2', 'b'])
    expect(recoveryIn([stream, group([40, 'n3', 'b', 5], [99, 'n3', 'b', 5])], 'n1')).toBeUndefined()
  })
})
