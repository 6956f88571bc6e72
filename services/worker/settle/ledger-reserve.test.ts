import { expect, it } from 'vitest'
import { LedgerReserve } from './ledger-reserve.ts'

it('says once that pulling stops at four fifths of the ledger, and once that it goes on', () => {
  const told: (string | undefined)[] = []
  let used = 0.79
  const reserve = new LedgerReserve(
    () => used,
    (because) => told.push(because),
  )
  const lookAt = (share: number): string | undefined => {
    used = share
    reserve.look()
    return reserve.because
  }
  expect(lookAt(0.79)).toBeUndefined()
  expect(lookAt(0.8)).toBe('80 % of its bound is used, the rest is kept for what workers hold')
  expect(lookAt(0.95)).toMatch(/^95 %/)
  expect(told).toEqual([expect.stringMatching(/^80 %/)])
  expect(lookAt(0.79)).toMatch(/^79 %/)
  expect(told).toHaveLength(1)
  expect(lookAt(0.77)).toBeUndefined()
  expect(told).toEqual([expect.any(String), undefined])
})
