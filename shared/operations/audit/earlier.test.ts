import { describe, expect, test } from 'vitest'
import { EarlierFeatures, type EarlierKnown } from './earlier.ts'
import type { Floor } from './floor.ts'

const [TODAY, BEFORE, LONG_BEFORE] = ['2026-03-01T00:00:00Z', '2026-02-01T00:00:00Z', '2026-01-01T00:00:00Z']
const FLOOR: Floor = {
  ...{ epoch: BEFORE, sequence: 20, at: BEFORE, ledger: { epoch: LONG_BEFORE, next: 3 }, retries: [] },
  waiting: [[4, 6]],
}

function open(
  known: Partial<EarlierKnown>,
  told: readonly (readonly [
    epoch: string,
    sequences: readonly number[],
    outcome?: 'predicted' | 'discarded',
  ])[],
  isWhole = true,
) {
  const earlier = new EarlierFeatures(TODAY, { floor: undefined, seen: [], ...known }, isWhole)
  for (const [epoch, sequences, outcome = 'predicted'] of told) {
    const entries = sequences.map((sequence) => ({ sequence, outcome }))
    earlier.enter({ stream: 'FEATURES', epoch, by: 'w', entries })
  }
  return earlier.open
}

describe('what a FEATURES that is gone had given out without an outcome', () => {
  test('is what waited at its floor, and what lies between that and the highest that was settled', () => {
    expect(open({ floor: FLOOR }, [[BEFORE, [5, 23]]])).toEqual({
      epoch: BEFORE,
      sequences: [
        [4, 4],
        [6, 6],
        [21, 22],
      ],
    })
  })

  test('names what a floor and the ledger tell as one range where they meet', () => {
    const floor = {
      ...FLOOR,
      waiting: [
        [4, 6],
        [19, 20],
      ] as const,
    }
    expect(open({ floor }, [[BEFORE, [23]]])?.sequences).toEqual([
      [4, 6],
      [19, 22],
    ])
  })

  test('is known at once, whatever number a damaged record has', () => {
    const [far, further] = [2 ** 30 - 2, Number.MAX_SAFE_INTEGER]
    expect(open({ floor: FLOOR }, [[BEFORE, [4, 5, 6, far, further]]])?.sequences).toEqual([[21, far - 1]])
    const seen = [{ epoch: BEFORE, sequence: 22 }]
    expect(open({ floor: FLOOR, seen }, [[BEFORE, [further]]])?.sequences).toEqual([
      [4, 6],
      [21, 22],
    ])
  })

  test('is known without a floor by what the ledger tells, and by how far the watch saw it come', () => {
    expect(open({}, [[BEFORE, [1, 3]]])).toEqual({ epoch: BEFORE, sequences: [[2, 2]] })
    const seen = [{ epoch: BEFORE, sequence: 5 }]
    expect(open({ seen }, [[BEFORE, [1, 3]]])?.sequences).toEqual([
      [2, 2],
      [4, 5],
    ])
    expect(open({ seen: [{ epoch: TODAY, sequence: 5 }] }, [])).toBeUndefined()
  })

  test('is not what an operator names: that can be of any age', () => {
    expect(open({}, [[BEFORE, [9], 'discarded']])).toBeUndefined()
  })

  test('is that of the floor first, else of the latest', () => {
    const told = [
      [LONG_BEFORE, [2]],
      [BEFORE, [3]],
    ] as const
    expect(open({}, told)?.epoch).toBe(BEFORE)
    expect(open({ floor: { ...FLOOR, epoch: LONG_BEFORE } }, told)?.epoch).toBe(LONG_BEFORE)
  })

  test('is nothing the audit may speak of once records are gone, nor of a span no stream has', () => {
    expect(open({}, [[BEFORE, [3]]], false)).toBeUndefined()
    expect(open({}, [[BEFORE, [2 ** 40]]])).toBeUndefined()
  })
})
