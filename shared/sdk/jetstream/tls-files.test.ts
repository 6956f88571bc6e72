import type { PeerCertificate } from 'node:tls'
import { expect, it } from 'vitest'
import { hostOf, identityCheck } from './tls-files.ts'

const certificate = (subjectaltname: string): PeerCertificate =>
  ({ subject: { CN: '' }, subjectaltname }) as unknown as PeerCertificate

it.each([
  ['a name the certificate has', 'one', ['one', 'two'], 'DNS:one', true],
  ['a name it does not have, though another broker has it', 'one', ['one', 'two'], 'DNS:two', false],
  [
    'an address without a name, for one that was given',
    'localhost',
    ['127.0.0.1', '10.0.0.1'],
    'IP Address:10.0.0.1',
    true,
  ],
  [
    'an address without a name, for none that was given',
    'localhost',
    ['127.0.0.1'],
    'IP Address:10.0.0.1',
    false,
  ],
  ['an address that a server told, for the name that was given', 'localhost', ['broker'], 'DNS:broker', true],
  ['localhost, where nobody gave it', 'localhost', ['10.0.0.1'], 'DNS:localhost', false],
])('identityCheck holds %s', (_what, name, hosts, altNames, isRight) => {
  expect(identityCheck(hosts)(name, certificate(altNames)) === undefined).toBe(isRight)
})

it.each([
  ['host:4222', 'host'],
  ['host', 'host'],
  ['[::1]:4222', '::1'],
  ['127.0.0.1:1', '127.0.0.1'],
])('hostOf finds the host in %s', (address, host) => expect(hostOf(address)).toBe(host))
