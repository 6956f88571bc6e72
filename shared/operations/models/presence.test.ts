import { beforeEach, describe, expect, it } from 'vitest'
import { ALIVE_MS, Workers } from './presence.ts'

let workers: Workers
beforeEach(() => {
  workers = new Workers()
})

const AT = 1_700_000_000_000

describe('workers', () => {
  it('are alive until they say that they are gone', () => {
    workers.heard('one', false, AT, 0)
    workers.heard('two', false, AT + 1, 1)
    expect(workers.alive).toEqual(['one', 'two'])
    workers.heard('one', true, AT + 2, 2)
    expect(workers.alive).toEqual(['two'])
  })

  it('are alive as long as they were heard lately, by the clock of the broker', () => {
    workers.heard('one', false, AT, 0)
    for (let nowMs = 0; nowMs < ALIVE_MS; nowMs += 1_000) {
      workers.nothingNew(nowMs)
      expect(workers.isAlive('one')).toBe(true)
    }
    workers.nothingNew(ALIVE_MS)
    expect(workers.isAlive('one')).toBe(false)
    workers.heard('one', false, AT + ALIVE_MS + 1, ALIVE_MS + 1)
    expect(workers.isAlive('one')).toBe(true)
  })

  it('that were heard long ago are gone as soon as another is heard', () => {
    workers.heard('old', false, AT, 0)
    workers.heard('new', false, AT + 2 * ALIVE_MS, 1)
    expect(workers.alive).toEqual(['new'])
  })

  it('are not taken for gone while the broker says nothing', () => {
    workers.heard('one', false, AT, 0)
    const HOUR = 3_600_000
    expect(workers.isAlive('one')).toBe(true)
    // It is back: whoever was alive gets the time to say so again.
    workers.heard('two', false, AT + HOUR, HOUR)
    expect(workers.alive).toEqual(['one', 'two'])
    for (let nowMs = HOUR; nowMs <= HOUR + ALIVE_MS; nowMs += 1_000) workers.nothingNew(nowMs)
    expect(workers.alive).toEqual([])
  })

  it('that the bucket has forgotten are forgotten', () => {
    workers.heard('one', false, AT, 0)
    workers.heard('two', false, AT, 0)
    workers.keepOnly(new Set(['two']))
    expect(workers.alive).toEqual(['two'])
  })
})
