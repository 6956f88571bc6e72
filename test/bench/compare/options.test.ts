import { describe, expect, it } from 'vitest'
import { readOptions, USAGE, UsageError } from './options.ts'

const read = (...args: string[]) => readOptions(args, '/here')

describe('readOptions', () => {
  it('compares this checkout with the one named', () => {
    expect(read('../other')).toEqual({
      base: '../other',
      head: '/here',
      rounds: 12,
      events: 40_000,
      seconds: 10,
      rate: { ofCapacity: 0.5 },
      only: undefined,
      atLeast: undefined,
      by: 'rate',
      cpu: undefined,
      isJson: false,
    })
  })

  it('takes every option', () => {
    const args = ['--head', 'v2', '--rounds=6', '--rate=2000', '--at-least', '0.95', '--by=cpu', '--cpu=0,1']
    expect(read('v1', ...args, '--only=drain', '--json', '--events=9', '--seconds=3')).toEqual({
      base: 'v1',
      head: 'v2',
      rounds: 6,
      events: 9,
      seconds: 3,
      rate: { perSecond: 2_000 },
      only: 'drain',
      atLeast: 0.95,
      by: 'cpu',
      cpu: '0,1',
      isJson: true,
    })
  })

  it('wants nothing else of those who ask for help', () => {
    expect(read('--help')).toBeUndefined()
  })

  it.each([
    [[], 'name the other checkout'],
    [['a', 'b'], 'one other checkout, not a and b'],
    [['a', '--fast'], '--fast'],
    [['a', '--rounds=0'], '--rounds needs a number above 0, not 0'],
    [['a', '--rounds=2.5'], '--rounds needs a whole number, not 2.5'],
    [['a', '--events='], '--events needs a number above 0'],
    [['a', '--seconds=soon'], '--seconds needs a number above 0, not soon'],
    [['a', '--rate=-5%'], '--rate needs a number above 0, not -5'],
    [['a', '--only=both'], '--only takes drain or open, not both'],
    [['a', '--only=open'], '--rate needs events a second'],
    [['a', '--at-least=0.95', '--rounds=5'], '--at-least needs --rounds 6 or more'],
    [['a', '--at-least=0.95', '--only=open', '--rate=9'], '--at-least goes by drains'],
    [['a', '--by=cpu'], '--by is for --at-least'],
    [['a', '--by=wall', '--at-least=1'], '--by takes rate or cpu, not wall'],
  ])('refuses %j', (args, message) => {
    expect(() => read(...args)).toThrow(UsageError)
    expect(() => read(...args)).toThrow(message)
  })

  it('has no option that its help does not name', () => {
    expect(() => read('a', '--nope')).toThrow(UsageError)
    for (const flag of [
      'head',
      'rounds',
      'events',
      'seconds',
      'rate',
      'only',
      'at-least',
      'by',
      'cpu',
      'json',
    ])
      expect(USAGE).toContain(`\n  --${flag} `)
  })
})
