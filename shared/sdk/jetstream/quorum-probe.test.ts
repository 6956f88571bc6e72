import { describe, expect, it } from 'vitest'
import { hearsMajority } from './quorum-probe.ts'

const heard = { active: 900e6 }
const silent = { active: 3_100e6 }
const away = { active: 900e6, offline: true }
const unknown = { active: 0 }
const leader = 'n1'

describe('a leader', () => {
  it.each([
    ['of a server that is alone', undefined],
    ['of one copy in a cluster', { leader }],
    ['that hears both others', { leader, replicas: [heard, heard] }],
    ['that hears one of two', { leader, replicas: [heard, silent] }],
    ['that hears one of two, as the other is away', { leader, replicas: [away, heard] }],
    ['that hears two of four', { leader, replicas: [heard, silent, heard, away] }],
  ])('%s hears a majority', (_which, cluster) => expect(hearsMajority(cluster)).toBe(true))

  it('is none where the group knows none, though copies answer', () => {
    expect(hearsMajority({ replicas: [heard, heard, heard] })).toBe(false)
    expect(hearsMajority({ leader: '', replicas: [heard, heard] })).toBe(false)
  })

  it.each([
    ['that hears nobody', { leader, replicas: [silent, silent] }],
    ['whose others are away', { leader, replicas: [away, away] }],
    ['of two copies that hears no other', { leader, replicas: [silent] }],
    ['that never heard anybody', { leader, replicas: [unknown, unknown] }],
    ['that hears one of four', { leader, replicas: [heard, silent, silent, away] }],
  ])('%s hears none', (_which, cluster) => expect(hearsMajority(cluster)).toBe(false))
})
