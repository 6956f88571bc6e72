import { describe, expect, it } from 'vitest'
import { addMark, type FeatureMarks, type Mark, Marking, readMarks, stepsBack } from './marks.ts'

const HOUR = 3_600_000
const EPOCH = '2026-01-31T12:00:00Z'

function marked(marks: Iterable<Mark>): FeatureMarks {
  let all: FeatureMarks | undefined
  for (const mark of marks) all = addMark(all, EPOCH, mark)
  return all ?? { epoch: '', marks: [] }
}

describe('marks', () => {
  it('are one of each hour, and that of the last look', () => {
    const looks = Array.from({ length: 3 * 360 + 1 }, (_look, index): Mark => [index * 10_000, index])
    const { marks } = marked(looks)
    expect(marks[0]).toEqual([0, 0])
    expect(marks.at(-1)).toEqual([3 * HOUR, 1_080])
    expect(marks.length).toBe(4)
  })

  it('stay few over the years, and never fail the order', () => {
    const looks = Array.from({ length: 20_000 }, (_look, index): Mark => [index * HOUR, index])
    const { marks } = marked(looks)
    expect(marks.length).toBeLessThanOrEqual(201)
    expect(marks).toEqual([...marks].sort((one, other) => one[0] - other[0]))
    const now = 20_000 * HOUR
    const month = marks.find(([at]) => at >= now - 720 * HOUR)?.[0] ?? now
    expect(now - month).toBeGreaterThan(600 * HOUR)
  })

  it('begin anew with another FEATURES', () => {
    expect(addMark(marked([[0, 7]]), 'another', [10, 1])).toEqual({ epoch: 'another', marks: [[10, 1]] })
  })

  it('keep the proof that FEATURES went back', () => {
    const { marks } = marked([
      [0, 1],
      [10_000, 900],
      [20_000, 700],
      [30_000, 950],
    ])
    expect(stepsBack(marks, 0)).toEqual([{ at: 20_000, from: 900, to: 700 }])
    expect(stepsBack(marks, 20_000)).toEqual([])
  })

  it.each([10, 11])('keep it over the years, and stay few (after %i hours)', (hours) => {
    const looks = Array.from({ length: 2_000 }, (_look, index): Mark => {
      const sequence = index < hours ? index * 100 : index * 100 - 50 - 100
      return [index * HOUR, sequence]
    })
    const { marks } = marked(looks)
    expect(stepsBack(marks, 0)).toEqual([
      { at: hours * HOUR, from: (hours - 1) * 100, to: (hours - 1) * 100 - 50 },
    ])
    expect(marks.length).toBeLessThanOrEqual(200)
  })

  it('stay few where FEATURES goes back again and again', () => {
    const looks = Array.from({ length: 2_000 }, (_look, index): Mark => [index * HOUR, 100 + (index % 2)])
    const { marks } = marked(looks)
    expect(marks.length).toBeLessThanOrEqual(200)
    expect(stepsBack(marks, 0).at(-1)?.at).toBe(1_998 * HOUR)
    expect(stepsBack(marks, 0).length).toBeGreaterThan(90)
  })

  it('take one look that saw less for the moment after an election, and two for the truth', () => {
    const marking = new Marking()
    let all: FeatureMarks | undefined
    const look = (at: number, sequence: number): void => {
      all = marking.add(all, EPOCH, [at, sequence])
    }
    for (const [at, sequence] of [
      [0, 1],
      [10_000, 900],
      [20_000, 899],
      [30_000, 910],
      [40_000, 700],
    ] as const)
      look(at, sequence)
    expect(stepsBack(all?.marks ?? [], 0)).toEqual([])
    look(50_000, 705)
    expect(stepsBack(all?.marks ?? [], 0)).toEqual([{ at: 50_000, from: 910, to: 705 }])
  })
})

describe('marks as they are kept', () => {
  it('come back, none among them', () => {
    for (const marks of [[], [[1, 2]], [[1.5, 0]]])
      expect(readMarks({ epoch: EPOCH, marks })).toEqual({ epoch: EPOCH, marks })
  })

  it.each([undefined, null, 7, 'x', {}, { epoch: EPOCH }, { epoch: 1, marks: [] }])(
    'are none in %j',
    (kept) => expect(readMarks(kept)).toBeUndefined(),
  )

  it.each([7, 'x', [null], [[1]], [['1', 2]], [[1, 2.5]], [[1, -1]], [[1, 2, 3]]])(
    'are none where they are %j',
    (marks) => expect(readMarks({ epoch: EPOCH, marks })).toBeUndefined(),
  )
})
