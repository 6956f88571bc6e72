import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Queue } from './queue.ts'

test('so much goes on at once, in order, also after what failed', async () => {
  const queue = new Queue(2)
  let running = 0
  let most = 0
  const begun: number[] = []
  const work = (number: number) =>
    queue.run(async () => {
      running += 1
      most = Math.max(most, running)
      begun.push(number)
      await turn()
      running -= 1
      if (number % 3 === 0) throw new Error('fails')
      return number
    })
  const ended = await Promise.allSettled([0, 1, 2, 3, 4, 5, 6].map(work))
  expect(ended.map(({ status }) => status === 'fulfilled')).toEqual([
    false,
    true,
    true,
    false,
    true,
    true,
    false,
  ])
  expect([most, begun]).toEqual([2, [0, 1, 2, 3, 4, 5, 6]])
})
