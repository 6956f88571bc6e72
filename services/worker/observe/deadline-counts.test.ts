import { expect, it } from 'vitest'
import type { Labels } from '../../../shared/runtime/meters.ts'
import { countDeadlines } from './deadline-counts.ts'

it('adds events that are settled together up once for each model, lane and kind, with no names from outside', async () => {
  const told: string[] = []
  const tell =
    (what: string) =>
    (count: number, labels: Labels): void =>
      void told.push(`${count} ${what} ${Object.values(labels).join(' ')}`)
  const counts = countDeadlines({ shed: tell('shed'), deadlineMisses: tell('missed') }, (model) =>
    model === 'm' ? model : '(unknown)',
  )
  const route = { pool: 'default', model: 'm', lane: 'normal' } as const
  for (let each = 0; each < 3; each++) counts.shed(route, 'predicted')
  counts.shed({ ...route, lane: 'low' }, 'codel')
  counts.shed({ ...route, model: 'made-up' }, 'expired')
  counts.missed(route)
  counts.missed(route)
  expect(told).toEqual([])
  await Promise.resolve()
  expect(told).toEqual([
    '3 shed m normal predicted',
    '1 shed m low codel',
    '1 shed (unknown) normal expired',
    '2 missed m normal',
  ])
})
