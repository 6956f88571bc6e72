import { describe, expect, it } from 'vitest'
import { flowOf } from '../../../test/kit/flow.ts'
import { createRandom } from '../../../test/kit/random.ts'
import { HeardFlow, type PoolFlow } from './heard-flow.ts'
import { SourceWeights } from './source-weights.ts'

const NOW_MS = 2_000

/** Of a pool that carries a hundred rows a second. */
function poolOf(heavy: readonly string[]): PoolFlow {
  const heard = new HeardFlow()
  heard.hear(flowOf({ heavy }), NOW_MS)
  return heard.at(NOW_MS) as PoolFlow
}

/** A door at which two sources ask for so many rows a second. */
function doorOf(rates: Readonly<Record<'one' | 'other', number>>): SourceWeights {
  const weights = new SourceWeights()
  for (let at = 0; at <= NOW_MS; at += 10)
    for (const [source, perSecond] of Object.entries(rates)) weights.came(source, perSecond / 100, at)
  return weights
}

describe('the weight of a source', () => {
  const uneven = { one: 70, other: 10 }

  it.each([
    ['named by workers, is heavy, whatever it asks for here', ['one'], { one: 1, other: 1 }, 1, 'heavy'],
    ['that asks for more than its share of all, is heavy', [], { one: 200, other: 10 }, 1, 'heavy'],
    ['that does so, is heavy whoever is named', ['x'], { one: 200, other: 10 }, 1, 'heavy'],
    ['that asks for more than its share of its door`s part, is heavy', [], uneven, 0.5, 'heavy'],
    ['that asks for hardly more than that, is not', [], { one: 55, other: 10 }, 0.5, 'usual'],
    [
      'that asks for little, is light beside one that asks for more',
      [],
      { one: 10, other: 70 },
      0.5,
      'light',
    ],
    [
      'that asks for little, is as all are where nobody asks for more',
      [],
      { one: 10, other: 10 },
      1,
      'usual',
    ],
    ['that asks for less than its share, is light while others are named', ['x'], uneven, 1, 'light'],
    ['that has all of a small part, is neither while others are named', ['x'], uneven, 0.5, 'usual'],
  ] as const)('%s', (_what, named, rates, part, weight) => {
    expect(doorOf(rates).weightOf('one', poolOf(named), part, NOW_MS)).toBe(weight)
  })

  it('that has just begun to send much is not taken for one that sends little', () => {
    const weights = doorOf({ one: 1, other: 10 })
    const nowMs = NOW_MS + 50
    for (let at = NOW_MS; at < nowMs; at += 2) weights.came('hot', 1, at)
    expect(weights.weightOf('hot', poolOf([]), 1, nowMs)).toBe('usual')
    expect(weights.weightOf('other', poolOf([]), 1, nowMs)).toBe('light')
  })

  it('that was light is not any more once it sends much, before it is weighed again', () => {
    const weights = doorOf({ one: 10, other: 70 })
    const weightAt = (nowMs: number) => weights.weightOf('one', poolOf([]), 0.5, nowMs)
    expect(weightAt(NOW_MS)).toBe('light')
    for (let row = 0; row < 7; row++) weights.came('one', 1, NOW_MS + 10)
    expect(weightAt(NOW_MS + 10)).toBe('usual')
  })

  it('that comes for the first time is light with its first event, of however many rows', () => {
    const weights = doorOf({ one: 10, other: 400 })
    const pool = { ...poolOf([]), rowsPerEvent: 32 }
    weights.weightOf('other', pool, 0.5, NOW_MS)
    weights.came('rare', 32, NOW_MS + 10)
    expect(weights.weightOf('rare', pool, 0.5, NOW_MS + 10)).toBe('light')
  })

  it('is light beside others by more than chance alone', () => {
    // Ten that send alike, a little more than is carried.
    const random = createRandom(18)
    const weights = new SourceWeights()
    const seen = { heavy: 0, usual: 0, light: 0 }
    for (let at = 0; at < 30_000; at++)
      for (const source of 'abcdefghij') {
        if (random() >= 0.011) continue
        weights.came(source, 1, at)
        if (at > 1_000) seen[weights.weightOf(source, poolOf([]), 1, at)]++
      }
    expect(seen.light / (seen.light + seen.usual + seen.heavy)).toBeLessThan(0.1)
  })

  it('tells whether others have no more than their share', () => {
    for (const [rates, areOthers] of [
      [{ one: 70, other: 10 }, true],
      [{ one: 70, other: 80 }, false],
    ] as const) {
      const weights = doorOf(rates)
      weights.weightOf('one', poolOf([]), 0.5, NOW_MS)
      expect(weights.areOthers).toBe(areOthers)
    }
  })
})
