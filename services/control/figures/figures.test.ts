import { describe, expect, it } from 'vitest'
import { MAX_OPEN, noticeAlert } from '../watch/notices.ts'
import { foldGroups, rarely } from './figures.ts'

describe('foldGroups', () => {
  it('adds up by model and reason, and makes no label of a name nobody serves', () => {
    const groups = [
      { model: 'a', reason: 'shed', count: 2 },
      { model: 'a', reason: 'shed', count: 3 },
      { model: 'made-up-1', reason: 'unknown-model', count: 1 },
      { model: 'made-up-2', reason: 'unknown-model', count: 1 },
    ]
    expect(foldGroups(groups)).toEqual([
      { model: 'a', reason: 'shed', count: 5 },
      { model: '(unknown)', reason: 'unknown-model', count: 2 },
    ])
  })

  it('has an end of models', () => {
    const groups = Array.from({ length: 500 }, (_item, index) => ({
      model: `m${index}`,
      reason: 'malformed',
      count: 1,
    }))
    const folded = foldGroups(groups)
    expect(folded).toHaveLength(101)
    expect(folded.at(-1)).toEqual({ model: '(other)', reason: 'malformed', count: 400 })
  })
})

describe('rarely', () => {
  it('reads once for all who ask, and again at once after a failure', async () => {
    let reads = 0
    const read = rarely(60_000, async () => {
      reads++
      if (reads === 1) throw new Error('not now')
      return reads
    })
    await expect(read()).rejects.toThrow('not now')
    expect(await Promise.all([read(), read()])).toEqual([2, 2])
    expect(await read()).toBe(2)
  })
})

describe('noticeAlert', () => {
  const notice = (missed: number, token = 'T') => ({
    model: 'm',
    token,
    sequence: 1,
    origin: '',
    at: '2026-01-31T12:00:00Z',
    missed,
  })

  it('needs two looks that found the event nowhere', () => {
    expect(noticeAlert([notice(0), notice(1)])).toBeUndefined()
    expect(noticeAlert([notice(1), notice(2, 'LOST')])).toMatchObject({
      count: 1,
      text: expect.stringContaining('LOST of m'),
    })
  })

  it('says that there may be more when its list is full', () => {
    const all = Array.from({ length: MAX_OPEN }, () => notice(2))
    expect(noticeAlert(all)?.text).toContain('at least')
  })
})
