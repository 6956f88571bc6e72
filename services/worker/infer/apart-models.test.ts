import { expect, it } from 'vitest'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { deliveryOf } from '../../../test/kit/deliveries.ts'
import { poolRecords } from '../../../test/kit/pool-records.ts'
import type { Concluded, Outcome } from '../settle/outcome.ts'
import { ApartModels } from './apart-models.ts'

const apartOf = (
  pool: ReturnType<typeof poolRecords>,
  onTrouble: (model: string) => void = expect.unreachable,
) => new ApartModels(pool, () => 7, onTrouble)

function concluded(model: string, reason?: 'timed-out' | 'inference-failed', attempt = 1): Concluded {
  const outcome =
    reason === undefined ? { kind: 'predicted' } : { kind: 'retried', failure: { reason }, dueAt: 0 }
  const headers = { [HEADERS.attempt]: String(attempt) }
  return { delivery: deliveryOf({ model, headers }), outcome: outcome as Outcome }
}

it('knows a model that runs apart before the pool does, and as long as the pool says so', async () => {
  const pool = poolRecords()
  const troubles: string[] = []
  const apart = apartOf(pool, (model) => troubles.push(model))
  pool.isReachable = false
  expect(await apart.begin('hangs')).toBe(false)
  expect([apart.isApart('hangs'), apart.isApart('other'), troubles]).toEqual([true, false, ['hangs']])
  pool.isReachable = true
  expect(await apart.begin('hangs')).toBe(true)
  expect(pool.find('hangs')?.apart).toEqual({ since: 7, inARow: 0 })
  await pool.update('hangs', ({ apart: _apart, ...record }) => record)
  expect(apart.isApart('hangs')).toBe(false)
})

it('counts events in a row that timed out, of models that run apart alone', async () => {
  const pool = poolRecords()
  const apart = apartOf(pool)
  await apart.begin('hangs')
  const late = concluded('hangs', 'timed-out')
  await apart.count([late, concluded('other', 'timed-out'), late])
  expect(pool.find('hangs')?.apart?.inARow).toBe(2)
  expect(pool.find('other')).toBeUndefined()
  await apart.count([concluded('hangs', 'inference-failed')])
  expect(pool.find('hangs')?.apart?.inARow).toBe(0)
  await apart.count([late, concluded('hangs')])
  expect(pool.find('hangs')?.apart?.inARow).toBe(0)
})

it('counts an event that times out again and again once', async () => {
  const pool = poolRecords()
  const apart = apartOf(pool)
  await apart.begin('hangs')
  for (const attempt of [1, 2, 3]) await apart.count([concluded('hangs', 'timed-out', attempt)])
  expect(pool.find('hangs')?.apart?.inARow).toBe(1)
})
