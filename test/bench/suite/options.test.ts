import { describe, expect, it } from 'vitest'
import { UsageError } from '../compare/options.ts'
import { readBenchOptions, SCENARIO_NAMES, USAGE } from './options.ts'

describe('options of the bench', () => {
  it('without a scenario measure Pelton beside the floor', () => {
    expect(readBenchOptions([])).toMatchObject({
      scenario: 'peers',
      only: ['pelton', 'floor', 'floor-bare'],
      rounds: 5,
      events: 40_000,
      profiles: ['process'],
    })
  })

  it('of peers measure everybody, or those who are named', () => {
    expect(readBenchOptions(['peers'])?.only).toBeUndefined()
    expect(readBenchOptions(['--only', 'pelton,bullmq', 'peers'])?.only).toEqual(['pelton', 'bullmq'])
    expect(readBenchOptions(['--only', 'floor'])).toMatchObject({ scenario: 'peers', only: ['floor'] })
  })

  it('know both profiles', () => {
    expect(readBenchOptions(['--profile', 'both'])?.profiles).toEqual(['process', 'power'])
    expect(readBenchOptions(['--profile', 'power'])?.profiles).toEqual(['power'])
  })

  it('take a rate, or a part of what a backlog is drained at', () => {
    expect(readBenchOptions(['latency'])?.rate).toEqual({ perSecond: 4_400 })
    expect(readBenchOptions(['latency', '--rate', '50%'])?.rate).toEqual({ ofCapacity: 0.5 })
  })

  it('of security name what Pelton was before, or nobody', () => {
    expect(readBenchOptions(['security'])).toMatchObject({ rounds: 5, events: 40_000, other: undefined })
    expect(readBenchOptions(['security', '--other', 'v0.1.0'])?.other).toBe('v0.1.0')
  })

  it.each(SCENARIO_NAMES)('of %s have defaults, and a line in the help', (scenario) => {
    expect(readBenchOptions([scenario])).toMatchObject({ scenario, isMarkdown: false })
    expect(USAGE).toMatch(new RegExp(`^  ${scenario} `, 'm'))
  })

  it('name every flag in the help', () => {
    for (const flag of ['rounds', 'events', 'only', 'profile', 'rate', 'seconds', 'other', 'models', 'json'])
      expect(USAGE).toContain(`--${flag}`)
    expect(readBenchOptions(['--help'])).toBeUndefined()
  })

  it.each([
    [['drag-race'], /drag-race is no scenario/],
    [['peers', 'sdk'], /one scenario/],
    [['binary', '--only', 'pelton'], /--only is not for binary/],
    [['peers', '--models', '3'], /--models is not for peers/],
    [['security', '--profile', 'power'], /--profile is not for security/],
    [['--rounds', '0'], /--rounds/],
    [['--events', '1.5'], /--events needs a whole number/],
    [['--profile', 'none'], /--profile takes/],
    [['--loud'], /loud/],
  ])('refuse %j', (args, message) => {
    expect(() => readBenchOptions(args)).toThrow(UsageError)
    expect(() => readBenchOptions(args)).toThrow(message)
  })
})
