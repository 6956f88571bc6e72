import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Change, Journal } from './journal.ts'

const del = (key: string): Change => ({ type: 'del', key })
const seal = (growth: number): Change => del(`growth ${growth}`)

/** A disk whose writes end when told to. */
function disk() {
  const writes: { readonly keys: string[]; readonly isSynced: boolean; end(failure?: Error): void }[] = []
  const write = (changes: readonly Change[], isSynced: boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const end = (failure?: Error): void => (failure === undefined ? resolve() : reject(failure))
      writes.push({ keys: changes.map(({ key }) => key), isSynced, end })
    })
  return { writes, write }
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a journal', () => {
  test('puts what is asked for during a write into the next one, synced if one asks for it', async () => {
    const { writes, write } = disk()
    const journal = new Journal(write, seal)
    const first = journal.write([del('a')], { isSynced: false, growth: 1 })
    const second = journal.write([del('b')], { isSynced: false, growth: -1 })
    await turn()
    const done: string[] = []
    const third = journal.write([del('c')], { isSynced: true, growth: 1 }).then(() => done.push('c'))
    const fourth = journal.write([del('d')], { isSynced: false, growth: 1 }).then(() => done.push('d'))
    await turn()
    expect(writes.map(({ keys, isSynced }) => [keys, isSynced])).toEqual([[['a', 'b', 'growth 0'], false]])
    writes[0]?.end()
    await Promise.all([first, second])
    await turn()
    expect(done).toEqual([])
    expect(writes[1]).toMatchObject({ keys: ['c', 'd', 'growth 2'], isSynced: true })
    writes[1]?.end()
    await Promise.all([third, fourth])
    await journal.idle()
    expect(done).toEqual(['c', 'd'])
  })

  test('writes nothing any more after a write that failed', async () => {
    const { writes, write } = disk()
    const journal = new Journal(write, seal)
    const failure = new Error('no space left on device')
    const first = journal.write([del('a')], { isSynced: true, growth: 1 })
    await turn()
    const second = journal.write([del('b')], { isSynced: true, growth: 1 })
    writes[0]?.end(failure)
    await expect(first).rejects.toBe(failure)
    await expect(second).rejects.toBe(failure)
    await expect(journal.write([del('c')], { isSynced: false, growth: 1 })).rejects.toBe(failure)
    expect(writes).toHaveLength(1)
  })

  test('keeps the order of asking, whatever is grouped', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 60 }), async (pauses) => {
        const written: string[] = []
        const journal = new Journal(async (changes) => {
          await turn()
          written.push(...changes.slice(0, -1).map(({ key }) => key))
        }, seal)
        const asked = pauses.map((_, i) => String(i))
        const writes: Promise<void>[] = []
        for (const [i, pause] of pauses.entries()) {
          if (pause === 0) await turn()
          writes.push(journal.write([del(String(i))], { isSynced: pause > 1, growth: 0 }))
        }
        await Promise.all(writes)
        expect(written).toEqual(asked)
      }),
      { numRuns: 30 },
    )
  })
})
