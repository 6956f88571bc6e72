import { describe, expect, it } from 'vitest'
import { DEFAULT_TOPOLOGY, streamSpecs } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import { planChange } from './plan-change.ts'

const present = {
  name: 'FEATURES',
  subjects: ['features.*.*.high', 'features.*.*.low'],
  retention: 'workqueue',
  max_msgs: 100,
  max_bytes: -1,
  max_age: 0,
  num_replicas: 1,
  description: 'old',
  metadata: { '_nats.level': '3' },
}

function plan(wanted: Readonly<Record<string, unknown>>) {
  const notes: string[] = []
  return { change: planChange('stream FEATURES', present, wanted, (text) => notes.push(text)), notes }
}

function refusal(wanted: Readonly<Record<string, unknown>>): PeltonError {
  try {
    plan(wanted)
  } catch (thrown) {
    if (thrown instanceof PeltonError) return thrown
  }
  throw new Error('this change was not refused')
}

describe('planChange', () => {
  it('changes nothing where nothing differs, in whatever order subjects stand', () => {
    const subjects = [...present.subjects].reverse()
    expect(plan({ ...present, subjects })).toEqual({ change: undefined, notes: [] })
  })

  it('takes what the broker leaves out for unset', () => {
    expect(plan({ discard_new_per_subject: false, duplicate_window: 0 }).change).toBeUndefined()
    expect(plan({ duplicate_window: 5 }).change?.config).toMatchObject({ duplicate_window: 5 })
  })

  it('lets a limit grow, keeps everything else, and says so', () => {
    const { change, notes } = plan({ max_msgs: 200, num_replicas: 3, description: 'new' })
    expect(change?.config).toEqual({ ...present, max_msgs: 200, num_replicas: 3, description: 'new' })
    expect(change?.summary).toBe('max_msgs 100 → 200, num_replicas 1 → 3, description "old" → "new"')
    expect(notes).toEqual([])
  })

  it('lets a limit go', () => {
    expect(plan({ max_msgs: -1 }).change?.config).toMatchObject({ max_msgs: -1 })
  })

  it.each([
    ['a larger number', { max_msgs: 50 }],
    ['no limit, of bytes', { max_bytes: 1_000 }],
    ['no limit, of age', { max_age: 1_000 }],
  ])('keeps %s where an operator set it, and says so', (_what, wanted) => {
    const { change, notes } = plan(wanted)
    expect(change).toBeUndefined()
    expect(notes).toEqual([expect.stringContaining(`${Object.keys(wanted)[0]} stays at`)])
  })

  it.each([
    ['retention', { retention: 'limits' }],
    ['subjects', { subjects: ['features.>'] }],
    ['allow_msg_schedules', { allow_msg_schedules: true }],
    ['discard', { discard: 'new' }],
  ])('refuses to change %s, and names it', (field, wanted) => {
    expect(refusal(wanted)).toMatchObject({ code: 'not-provisioned', details: { field } })
  })

  it('refuses before it plans anything, so that nothing is changed by half', () => {
    expect(refusal({ max_msgs: 200, retention: 'limits' }).code).toBe('not-provisioned')
  })

  it('finds nothing to change in each stream that is as it should be', () => {
    for (const spec of streamSpecs(DEFAULT_TOPOLOGY, 1024 * 1024)) {
      expect(planChange(spec.name, { ...spec }, { ...spec }, () => {})).toBeUndefined()
    }
  })
})
