import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TURN_BYTES, Turns } from './turns.ts'

/** Turns that a test begins itself. */
function open() {
  const begins: (() => void)[] = []
  const turns = new Turns((begin) => void begins.push(begin))
  const next = async (): Promise<boolean> => {
    const begun = begins.splice(0)
    for (const begin of begun) begin()
    await Promise.resolve()
    return begun.length > 0
  }
  return { turns, next }
}

describe('Turns', () => {
  it('begin no more in a turn than an event of 64 KB is, but for a single piece that is larger', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 3 * TURN_BYTES }), { maxLength: 50 }),
        async (pieces) => {
          const { turns, next } = open()
          const begun: { readonly turn: number; readonly bytes: number; readonly index: number }[] = []
          let turn = 0
          pieces.forEach(
            (bytes, index) => void turns.spend(bytes).then(() => begun.push({ turn, bytes, index })),
          )
          await Promise.resolve()
          await Promise.resolve()
          do turn++
          while (await next())
          expect(begun.map(({ index }) => index)).toEqual(pieces.map((_, index) => index))
          for (const each of new Set(begun.map((piece) => piece.turn))) {
            const own = begun.filter((piece) => piece.turn === each)
            const sum = own.reduce((total, { bytes }) => total + bytes, 0)
            if (own.length > 1) expect(sum).toBeLessThanOrEqual(TURN_BYTES)
          }
        },
      ),
    )
  })

  it('give room away only in its order: what could begin at once waits behind what cannot', async () => {
    const { turns, next } = open()
    expect(turns.take(TURN_BYTES - 10)).toBe(true)
    const order: string[] = []
    void turns.spend(20).then(() => order.push('first'))
    expect(turns.take(5)).toBe(false)
    void turns.spend(5).then(() => order.push('second'))
    expect(order).toEqual([])
    await next()
    expect(order).toEqual(['first', 'second'])
    expect(turns.take(TURN_BYTES - 25)).toBe(true)
    expect(turns.take(1)).toBe(false)
  })

  it('ask for no further turn once nothing is done', async () => {
    const { turns, next } = open()
    turns.take(1)
    expect(await next()).toBe(true)
    expect(await next()).toBe(false)
  })
})
