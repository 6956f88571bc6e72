import { expect, it } from 'vitest'
import { StorageHealth } from './storage-health.ts'

it('tells each change of what refuses once', () => {
  const told: [string, string][][] = []
  const health = new StorageHealth((refusing) => told.push([...refusing]))
  health.stored('RESULTS')
  health.failed('RESULTS', 'full')
  health.failed('RESULTS', 'full')
  health.failed('LEDGER', 'no answer')
  health.failed('RESULTS', 'no answer')
  health.stored('RESULTS')
  health.stored('RESULTS')
  health.stored('LEDGER')
  expect(told).toEqual([
    [['RESULTS', 'full']],
    [
      ['RESULTS', 'full'],
      ['LEDGER', 'no answer'],
    ],
    [
      ['RESULTS', 'no answer'],
      ['LEDGER', 'no answer'],
    ],
    [['LEDGER', 'no answer']],
    [],
  ])
  expect(health.refusing.size).toBe(0)
})
