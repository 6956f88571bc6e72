import type { NatsConnection } from '@nats-io/transport-node'
import { expect, test } from 'vitest'
import { claimDomain, domainOf, isAlone, setDomain } from './domain.ts'

test.each([
  ['a server alone', { jetstream: true }, undefined, true],
  ['one that is the domain asked for', { jetstream: true, domain: 'hub' }, 'hub', true],
  ['one in a domain that nobody asks for', { jetstream: true, domain: 'hub' }, undefined, true],
  ['one of a cluster', { jetstream: true, cluster: 'c' }, undefined, false],
  ['one behind which another domain is', { jetstream: true, domain: 'hub' }, 'edge', false],
  ['one without JetStream, which others have', {}, undefined, false],
  ['nobody yet', undefined, undefined, false],
])('%s: whether nobody is elected there', (_what, info, domain, expected) => {
  const connection = { info } as unknown as NatsConnection
  if (domain !== undefined) setDomain(connection, domain)
  expect(isAlone(connection)).toBe(expected)
})

test('a connection is in one domain as long as it lives', () => {
  const connection = {} as NatsConnection
  claimDomain(connection, undefined)
  expect(domainOf(connection)).toBeUndefined()
  expect(() => claimDomain(connection, 'a.b')).toThrow(/no JetStream domain/)
  claimDomain(connection, 'hub')
  claimDomain(connection, undefined)
  claimDomain(connection, 'hub')
  expect(() => claimDomain(connection, 'leaf')).toThrow(/in use with another domain.*leaf, not hub/)
  expect(domainOf(connection)).toBe('hub')
})
