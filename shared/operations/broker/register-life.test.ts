import { describe, expect, it } from 'vitest'
import type { StreamInfo } from '../../sdk/jetstream/api.ts'
import { livesMs, mustLiveMs, registerNeeds, registerState, wantedSettings } from './register-life.ts'

const WRITER = { ackWaitMs: 30_000, longestRetryMs: 30_000, resendMs: 600_000 }

function results(config: object, state: object = {}): StreamInfo {
  const filled = { messages: 0, bytes: 0, first_seq: 1, last_seq: 0, ...state }
  return { created: '', ts: '2026-01-31T12:02:05Z', config: { ...config }, state: filled }
}

describe('the register of outcomes', () => {
  it('needs as many results as come while the latest writer may still write', () => {
    expect(mustLiveMs(WRITER)).toBe(660_000)
    expect(registerNeeds(40_000, WRITER)).toEqual({
      messages: 26_400_000,
      ageMs: 660_000,
      memoryBytes: 26_400_000 * 450,
    })
    expect(registerNeeds(0, WRITER)).toMatchObject({ messages: 0, memoryBytes: 0 })
    expect(registerNeeds(0.001, WRITER).messages).toBe(1)
  })

  it('lives 125 s with five million results at 40,000 a second, and never longer than its age', () => {
    const state = registerState(results({ max_msgs: 5_000_000, max_age: 24 * 3_600e9 }))
    expect(livesMs(state, 40_000)).toBe(125_000)
    expect(livesMs(state, 0)).toBe(24 * 3_600_000)
    expect(livesMs(registerState(results({ max_msgs: -1, max_age: 0 })), 40_000)).toBe(
      Number.POSITIVE_INFINITY,
    )
  })

  it.each([
    ['its number', { max_msgs: 100 }, { messages: 100, bytes: 10 }],
    ['its bytes', { max_msgs: -1, max_bytes: 1_000 }, { messages: 9, bytes: 995 }],
  ])('lives as long as its oldest result where it is at the limit of %s', (_what, config, state) => {
    const full = results(config, { ...state, first_ts: '2026-01-31T12:00:00Z' })
    expect(livesMs(registerState(full), 1e-6)).toBe(125_000)
  })

  it('lives as long as its bytes last at a rate, by what a result has on average', () => {
    const state = registerState(
      results({ max_msgs: 5_000_000, max_bytes: 1_000_000 }, { messages: 10, bytes: 2_000 }),
    )
    expect(livesMs(state, 10)).toBe(500_000)
    const needs = registerNeeds(10, WRITER)
    expect(wantedSettings(state, needs)).toEqual([
      { setting: 'PELTON_RESULTS_MAX_BYTES', value: 6_600 * 200 },
    ])
    const both = registerState(results({ max_msgs: 10, max_age: 5e9 }, { messages: 10, bytes: 2_000 }))
    expect(wantedSettings(both, needs)).toEqual([
      { setting: 'PELTON_RESULTS_MAX_MESSAGES', value: 6_600, memoryBytes: 6_600 * 450 },
      { setting: 'PELTON_RESULTS_MAX_AGE_MS', value: 660_000 },
    ])
  })

  it('says nothing by its oldest result while there is room', () => {
    const young = results({ max_msgs: 100 }, { messages: 9, first_ts: '2026-01-31T12:02:00Z' })
    expect(livesMs(registerState(young), 0)).toBe(Number.POSITIVE_INFINITY)
  })
})
