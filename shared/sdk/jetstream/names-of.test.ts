import type { NatsConnection } from '@nats-io/transport-node'
import { describe, expect, it } from 'vitest'
import { createNames, PLAIN_NAMES } from '../contract/names.ts'
import { PeltonError } from '../errors.ts'
import { claimNames, namedError, namesOf } from './names-of.ts'

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

describe('namedError', () => {
  const cause = new Error('FEATURES')
  const details = { field: 'max_msgs', value: '7', remedy: 'Run `nats stream edit LEDGER`.' }
  const error = new PeltonError('stream-full', 'LEDGER is full', details, cause)

  it('names in its text and remedy what the broker has, once', () => {
    const named = namedError(createNames('staging'), error) as PeltonError
    expect(named.message).toBe(error.message.replaceAll('LEDGER', 'staging-LEDGER'))
    expect(named).toMatchObject({ code: 'stream-full', cause })
    expect(named.details).toEqual({ ...details, remedy: 'Run `nats stream edit staging-LEDGER`.' })
  })

  it('comes from where it came from, and names what its causes name', () => {
    const outer = new PeltonError('undeliverable', 'no record in LEDGER', {}, error)
    const named = namedError(createNames('staging'), outer) as PeltonError
    expect((named.cause as PeltonError).message).toContain('staging-LEDGER is full')
    expect(named.stack).toMatch(
      /^PeltonError: undeliverable: no record in staging-LEDGER\n.*names-of\.test\.ts/,
    )
    expect(namedError(createNames('staging'), named)).toEqual(named)
  })

  it('leaves everything else as it is, also an error about what a user gave', () => {
    const given = new PeltonError('invalid-argument', 'no model LEDGER')
    expect(namedError(createNames('staging'), given)).toBe(given)
    expect(namedError(PLAIN_NAMES, error)).toBe(error)
    expect(namedError(createNames('staging'), cause)).toBe(cause)
  })
})
