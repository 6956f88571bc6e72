import { expect, it } from 'vitest'
import { NameLimit } from './name-limit.ts'

it('failures of 10,000 made-up names are ten and a count; those of a model that predicts are all there', () => {
  const rests: number[] = []
  const limit = new NameLimit((count) => rests.push(count))
  limit.predicted('churn')
  const shown = new Map<string, number>()
  for (let index = 0; index < 10_000; index++) {
    for (const model of [`made-up-${index}`, 'made-up-0', 'churn'])
      if (limit.admit(model)) shown.set(model, (shown.get(model) ?? 0) + 1)
  }
  limit.close()
  expect([...shown.keys()]).toEqual([
    'made-up-0',
    'churn',
    ...Array.from({ length: 9 }, (_n, i) => `made-up-${i + 1}`),
  ])
  expect([shown.get('churn'), shown.get('made-up-0'), shown.get('made-up-9')]).toEqual([10_000, 10_001, 1])
  expect(rests).toEqual([9_990])
})
