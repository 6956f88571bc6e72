import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { ResultQueue } from './result-queue.ts'

interface Item {
  readonly id: number
}

const ids = (items: Iterable<Item>): number[] => [...items].map(({ id }) => id)

describe('ResultQueue', () => {
  it('hands out each item once, in order, however many were taken before', async () => {
    const queue = new ResultQueue<Item>()
    const taken: Item[] = []
    for (let id = 0; id < 1_000; id++) {
      queue.push({ id })
      // It is never empty.
      if (id >= 10) taken.push((await queue.next()) as Item)
    }
    expect(queue.length).toBe(10)
    expect(ids(queue.items())).toEqual([990, 991, 992, 993, 994, 995, 996, 997, 998, 999])
    expect(ids([...taken, ...queue.clear()])).toEqual(Array.from({ length: 1_000 }, (_, id) => id))
    expect(queue.length).toBe(0)
    expect(ids(queue.items())).toEqual([])
  })

  it('keeps nothing of what was taken', async () => {
    const queue = new ResultQueue<Item>()
    const taken: WeakRef<Item>[] = []
    for (let id = 0; id < 20; id++) queue.push({ id })
    for (let id = 0; id < 19; id++) taken.push(new WeakRef((await queue.next()) as Item))
    await new Promise(setImmediate) // what a WeakRef was asked for stays until the end of the turn
    collectGarbage()
    expect(taken.filter((item) => item.deref() !== undefined)).toEqual([])
    expect(queue.length).toBe(1)
  })

  it('gives what is left, then its end or error', async () => {
    const queue = new ResultQueue<Item>()
    queue.push({ id: 1 })
    queue.end(new Error('closed'))
    expect(await queue.batch(5, 10)).toEqual([{ id: 1 }])
    await expect(queue.next()).rejects.toThrow('closed')
  })

  it('says when there is room again', async () => {
    const queue = new ResultQueue<Item>()
    for (const id of [1, 2, 3]) queue.push({ id })
    let isRoomy = false
    const room = queue.shorterThan(2).then(() => {
      isRoomy = true
    })
    await queue.next()
    await new Promise(setImmediate)
    expect(isRoomy).toBe(false)
    await queue.next()
    await room
    expect(queue.length).toBe(1)
  })
})

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
}
