import { describe, expect, it } from 'vitest'
import type { ReplicaGroup } from '../../../shared/operations/broker/replicas.ts'
import type { NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import { EMPTY_RECORD } from '../../../shared/operations/watch-record/record.ts'
import { partly, ReplicaMemory } from './replica-look.ts'

const led: ReplicaGroup = { stream: 'FEATURES', leader: 'n1', replicas: [], progress: '1' }
const unled: ReplicaGroup = { ...led, leader: undefined }

/** What is told at each of these looks: milliseconds, and whether FEATURES is led then. */
function toldAt(looks: readonly (readonly [at: number, isLed: boolean])[]): readonly number[] {
  const memory = new ReplicaMemory()
  return looks.flatMap(([at, isLed]) =>
    memory.judge({ at, groups: [isLed ? led : unled] }).length > 0 ? [at] : [],
  )
}

describe('ReplicaMemory', () => {
  it('tells what may pass once two looks a second apart have seen it, and no more when it is over', () => {
    expect(
      toldAt([
        [0, true],
        [1_000, false],
        [2_000, false],
        [3_000, false],
        [4_000, true],
      ]),
    ).toEqual([2_000, 3_000])
  })

  it('takes looks that are closer, as an advisory has them, for one', () => {
    expect(
      toldAt([
        [0, true],
        [500, false],
        [900, false],
        [1_400, false],
        [1_500, false],
      ]),
    ).toEqual([1_500])
  })
})

describe('partly', () => {
  it('tells of servers and replicas anew, and keeps what else was found', () => {
    const alert = (kind: NewAlert['kind'], about: string): NewAlert => {
      return { kind, about, text: '', remedy: '', count: 0 }
    }
    const before = {
      ...EMPTY_RECORD,
      alerts: [
        { ...alert('idle-pool', 'default'), since: 'then' },
        { ...alert('no-leader', 'FEATURES'), since: 'then' },
        { ...alert('server-away', 'n2'), since: 'then' },
      ],
    }
    const found = [alert('no-leader', 'FEATURES'), alert('no-leader', 'RESULTS')]
    const at = Date.parse('2026-01-31T12:00:00Z')
    const record = partly(before, { at }, found)
    expect(record.at).toBe('2026-01-31T12:00:00.000Z')
    expect(record.alerts.map(({ kind, about, since }) => [kind, about, since])).toEqual([
      ['no-leader', 'FEATURES', 'then'],
      ['no-leader', 'RESULTS', '2026-01-31T12:00:00.000Z'],
      ['idle-pool', 'default', 'then'],
    ])
  })
})
