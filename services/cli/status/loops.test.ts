import { expect, it } from 'vitest'
import { loopLines } from './loops.ts'

it('says how late the loops of workers are, and names those that are too late', () => {
  expect(loopLines(undefined)).toEqual([])
  expect(loopLines([])).toEqual([])
  expect(loopLines([{ worker: 'w1', lateMs: 12 }])).toEqual(['loops of 1 worker: 12 ms late at most'])
  expect(
    loopLines([
      { worker: 'w2', lateMs: 1_500 },
      { worker: 'w1', lateMs: 12 },
    ]),
  ).toEqual([
    'loops of 2 workers: 1.5 s late at most',
    'worker w2 is busy: its loop was 1.5 s late',
    '  See docs/runbooks/event-loop.md.',
  ])
})
