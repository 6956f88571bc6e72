import type { NatsConnection } from '@nats-io/transport-node'
import { expect, test } from 'vitest'
import { isAlone, setDomain } from './domain.ts'

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
