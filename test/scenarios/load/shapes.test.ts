import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRandom } from '../../kit/random.ts'
import { boundsOf, intendedTimes } from './schedule.ts'
import { drawShapes } from './shapes.ts'

const AT = { capacity: 100, seconds: 60, calmSeconds: 5 }

test('a seed fixes two different shapes, each beyond what is carried and as long as was asked for', () => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(3, 30, 60), (seed, seconds) => {
      const at = { ...AT, seconds }
      const shapes = drawShapes(createRandom(seed), at)
      expect(drawShapes(createRandom(seed), at)).toEqual(shapes)
      expect(new Set(shapes.map(({ name }) => name)).size).toBe(2)
      for (const { phases } of shapes) {
        const over = phases.filter(({ name }) => name === 'overload')
        expect(Math.max(...over.map(({ toPerSecond }) => toPerSecond))).toBeGreaterThanOrEqual(200)
        expect(Math.min(...phases.map(({ fromPerSecond }) => fromPerSecond))).toBeGreaterThan(0)
        const lasted = over.reduce((sum, phase) => sum + phase.seconds, 0)
        expect(Math.abs(lasted - seconds)).toBeLessThanOrEqual(5 + 1e-9)
      }
    }),
    { numRuns: 200 },
  )
})

test('pieces of one name are one phase of the load', () => {
  const [first] = drawShapes(createRandom(1), AT)
  const phases = first?.phases ?? []
  const bounds = boundsOf(phases)
  expect(bounds.map(({ name }) => name)).toEqual(['before', 'overload', 'after'])
  const last = bounds.at(-1)
  const times = intendedTimes(phases)
  expect(times.at(-1)).toBeLessThanOrEqual(last?.toMs ?? 0)
})
