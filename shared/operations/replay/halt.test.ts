import { describe, expect, test } from 'vitest'
import { type Halt, type HaltCause, strongerHalt } from './halt.ts'

const halt = (cause: HaltCause, state: Halt['state'] = 'paused', by = cause): Halt => ({
  cause,
  state,
  by,
  note: '',
})

describe('of two reasons to halt', () => {
  test.each([
    ['interruption', 'failures', 'failures'],
    ['interruption', 'wish', 'wish'],
    ['failures', 'interruption', 'failures'],
    ['failures', 'wish', 'wish'],
    ['wish', 'interruption', 'wish'],
    ['wish', 'failures', 'wish'],
  ] as const)('%s and then %s: %s counts', (first, second, stronger) => {
    expect(strongerHalt(strongerHalt(undefined, halt(first)), halt(second)).cause).toBe(stronger)
  })

  test('the later wish counts', () => {
    expect(strongerHalt(halt('wish', 'paused'), halt('wish', 'cancelled')).state).toBe('cancelled')
  })
})
