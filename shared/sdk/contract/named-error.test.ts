import { describe, expect, it } from 'vitest'
import { PeltonError } from '../errors.ts'
import { namedError } from './named-error.ts'
import { createNames, PLAIN_NAMES } from './names.ts'

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
      /^PeltonError: undeliverable: no record in staging-LEDGER\n.*named-error\.test\.ts/,
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
