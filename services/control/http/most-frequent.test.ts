import { expect, it } from 'vitest'
import { mostFrequent } from './most-frequent.ts'

it('keeps the first, and says how much the rest is', () => {
  const names = Array.from({ length: 10_000 }, (_name, index) => ({ name: `m${index}`, count: 2 }))
  const of = (most: number) => mostFrequent(names, most, ({ count }) => count)
  expect(of(100)).toEqual({ kept: names.slice(0, 100), more: { left: 9_900, count: 19_800 } })
  expect(of(9_999).more).toEqual({ left: 1, count: 2 })
  expect(of(10_000)).toEqual({ kept: names })
})
