import { describe, expect, it } from 'vitest'
import { fitBounds, type ToBound } from './fit-bounds.ts'

const must = (name: string, bytes: number): ToBound => ({ name, bytes })
const wished = (name: string, bytes: number, least = 1): ToBound => ({ name, wish: { bytes, least } })
const ANY = Number.POSITIVE_INFINITY

describe('fitBounds', () => {
  it('gives everything where nothing is limited, and no bound where none is asked for', () => {
    const { bytes, tooLarge, least } = fitBounds([must('a', 4), wished('b', 32, 16), { name: 'c' }], {
      all: ANY,
      one: ANY,
    })
    expect(Object.fromEntries(bytes)).toEqual({ a: 4, b: 32 })
    expect([tooLarge, least]).toEqual([[], 20])
  })

  it('halves the largest wish until all have room, to the last byte', () => {
    const streams = [must('a', 4), wished('b', 32), wished('c', 8)]
    expect(Object.fromEntries(fitBounds(streams, { all: 20, one: ANY }).bytes)).toEqual({ a: 4, b: 8, c: 8 })
    expect(Object.fromEntries(fitBounds(streams, { all: 19, one: ANY }).bytes)).toEqual({ a: 4, b: 4, c: 8 })
  })

  it('halves no wish below what it works with, and tells what all of them need', () => {
    const streams = [must('a', 4), wished('b', 32, 8), wished('c', 8, 5)]
    expect(fitBounds(streams, { all: 19, one: ANY }).least).toBe(4 + 8 + 8)
    expect(Object.fromEntries(fitBounds(streams, { all: 20, one: ANY }).bytes)).toEqual({ a: 4, b: 8, c: 8 })
  })

  it('halves a wish until one stream may have it, and names what cannot be', () => {
    const { bytes, tooLarge } = fitBounds([must('a', 11), wished('b', 32), wished('c', 32, 16)], {
      all: ANY,
      one: 10,
    })
    expect(bytes.get('b')).toBe(8)
    expect(tooLarge).toEqual([
      { name: 'a', bytes: 11 },
      { name: 'c', bytes: 16 },
    ])
  })
})
