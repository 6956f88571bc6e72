import type { NatsConnection } from '@nats-io/transport-node'
import { describe, expect, it } from 'vitest'
import { PLAIN_NAMES } from '../contract/names.ts'
import { claimNames, namesOf } from './names-of.ts'

/** Only its identity is looked at. */
const connection = (): NatsConnection => ({}) as NatsConnection

describe('claimNames', () => {
  it('leaves a connection that nobody claimed without a prefix', () => {
    expect(namesOf(connection())).toBe(PLAIN_NAMES)
  })

  it('holds for as long as the connection lives, and without a prefix stays what it was', () => {
    const one = connection()
    const names = claimNames(one, 'staging')
    expect(names.prefix).toBe('staging')
    expect(claimNames(one, undefined)).toBe(names)
    expect(claimNames(one, 'staging')).toBe(names)
    expect(namesOf(one)).toBe(names)
  })

  it.each([
    ['staging', 'production'],
    [undefined, 'staging'],
  ])('refuses a connection for %s to one for %s', (first, second) => {
    const one = connection()
    claimNames(one, first)
    expect(() => claimNames(one, second)).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        details: {
          field: 'prefix',
          value: `${second}, not ${first ?? 'none'}`,
          remedy: 'Give each prefix a connection of its own.',
        },
      }),
    )
  })

  it('claims nothing with a prefix that cannot be one', () => {
    const one = connection()
    expect(() => claimNames(one, 'a.b')).toThrow(/prefix = "a.b"/)
    expect(claimNames(one, 'staging').prefix).toBe('staging')
  })
})
