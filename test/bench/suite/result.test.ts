import { describe, expect, it } from 'vitest'
import { namesOf, ratioOf, spreadOfFigure } from './result.ts'
import { sampleResult } from './sample-result.ts'

describe('ratioOf', () => {
  it('is of each round by itself', () => {
    const { runs } = sampleResult({ a: [{ x: 10 }, { x: 40 }], b: [{ x: 5 }, { x: 10 }] })
    expect(ratioOf(runs, 'x', 'a', 'b')).toEqual({ min: 2, median: 3, max: 4 })
  })

  it('leaves out rounds that do not count, on either side', () => {
    const { runs } = sampleResult({ a: [{ x: 10 }, { x: 40 }, { x: 9 }], b: [{ x: 5 }, { x: 10 }, {}] })
    const spoilt = runs.map((run) =>
      run.subject === 'b' && run.round === 1 ? { ...run, void: 'late' } : run,
    )
    expect(ratioOf(spoilt, 'x', 'a', 'b')).toEqual({ min: 2, median: 2, max: 2 })
  })

  it('says nothing of who is not there', () => {
    expect(ratioOf(sampleResult({ a: [{ x: 1 }] }).runs, 'x', 'a', 'b')).toBeUndefined()
    expect(ratioOf(sampleResult({ a: [{ x: 1 }], b: [{ x: 0 }] }).runs, 'x', 'a', 'b')).toBeUndefined()
  })
})

it('figures have the order in which they come', () => {
  const { runs } = sampleResult({ a: [{ x: 1, y: 2 }], b: [{ z: 3, x: 4 }] })
  expect(namesOf(runs, 'figures')).toEqual(['x', 'y', 'z'])
  expect(spreadOfFigure(runs, 'b', 'y')).toBeUndefined()
})
