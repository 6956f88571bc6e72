import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { LoopBusy } from './loop-busy.ts'

it('tells of a loop that waits, and of one that is busy, once a window has gone by', async () => {
  const busy = new LoopBusy()
  await sleep(200)
  const idle = busy.share()
  const until = performance.now() + 200
  let turns = 0
  while (performance.now() < until) turns++
  expect(turns).toBeGreaterThan(0)
  expect(busy.share(0)).toBe(idle)
  await new Promise(setImmediate)
  expect(busy.share()).toBeGreaterThan(idle)
})
