import { describe, expect, it } from 'vitest'
import { gateLines } from './gates.ts'

const SHUT = { value: 600_000, measured: 612_000, because: '' }

describe('gateLines', () => {
  it('say what doors refuse, of whom, and by which limit', () => {
    const gates = [
      { ...SHUT, limit: 'FEATURES.max_msgs', lanes: ['low'] as const },
      { ...SHUT, limit: 'DEADLETTERS.max_msgs', lanes: ['high', 'normal', 'low'] as const },
      { ...SHUT, limit: 'FEATURES.max_msgs_per_subject', lanes: ['low'] as const, pool: 'gpu', model: 'a' },
    ]
    expect(gateLines(gates)).toEqual([
      'doors refuse lane low: FEATURES.max_msgs is at 612,000, they do from 600,000 on',
      'doors refuse lanes high, normal, low: DEADLETTERS.max_msgs is at 612,000, they do from 600,000 on',
      'doors refuse lane low of model a (pool gpu): FEATURES.max_msgs_per_subject is at 612,000, they do from 600,000 on',
      '  See docs/runbooks/doors-refuse.md.',
    ])
  })

  it('are none where no gate is shut, or that is not known', () => {
    expect([gateLines([]), gateLines(undefined)]).toEqual([[], []])
  })

  it('name ten, and count the rest', () => {
    const many = Array.from({ length: 13 }, () => ({ ...SHUT, limit: 'FEATURES.max_msgs', lanes: [] }))
    expect(gateLines(many).at(-2)).toBe('and 3 more; all with --json')
  })
})
