import { describe, expect, it } from 'vitest'
import { checkSecurity, type SecurityOptions, splitUrl } from './security.ts'

describe('checkSecurity', () => {
  it.each<[string, SecurityOptions & { url?: string }]>([
    ['nothing', {}],
    ['credentials and a client certificate', { credsFile: '/c', tls: { certFile: '/a', keyFile: '/b' } }],
    ['a user and the password in a file', { user: 'a', passwordFile: '/p' }],
    ['a user without password', { user: 'a' }],
    ['a user in the address', { url: 'nats://a:b@host' }],
    ['an authority alone', { tls: { caFile: '/ca' } }],
    ['names', { domain: 'hub-1', inboxPrefix: '_INBOX.a.b' }],
  ])('takes %s', (_what, options) => expect(() => checkSecurity(options, 'settings')).not.toThrow())

  it.each<[string, SecurityOptions & { url?: string }, string, RegExp]>([
    [
      'credentials and a user',
      { credsFile: '/c', user: 'a' },
      'PELTON_NATS_CREDS',
      /PELTON_NATS_USER is set/,
    ],
    [
      'credentials and a password',
      { credsFile: '/c', password: 'hunter2' },
      'PELTON_NATS_CREDS',
      /PASSWORD is set/,
    ],
    ['an nkey and a token', { nkeyFile: '/n', tokenFile: '/t' }, 'PELTON_NATS_NKEY', /TOKEN_FILE is set/],
    ['a user twice', { user: 'a', userFile: '/u' }, 'PELTON_NATS_USER_FILE', /PELTON_NATS_USER is set/],
    [
      'a password twice',
      { user: 'a', password: 'hunter2', passwordFile: '/p' },
      'PELTON_NATS_PASSWORD_FILE',
      /is set/,
    ],
    ['a token twice', { token: 'hunter2', tokenFile: '/t' }, 'PELTON_NATS_TOKEN_FILE', /is set/],
    [
      'a user here and in the address',
      { user: 'a', url: 'nats://b:hunter2@h' },
      'PELTON_NATS_USER',
      /URL has a user/,
    ],
    ['a password alone', { password: 'hunter2' }, 'PELTON_NATS_PASSWORD', /nothing without its user/],
    [
      'a certificate without key',
      { tls: { certFile: '/a' } },
      'PELTON_NATS_TLS_CERT',
      /Set PELTON_NATS_TLS_KEY too/,
    ],
    [
      'a key without certificate',
      { tls: { keyFile: '/a' } },
      'PELTON_NATS_TLS_KEY',
      /Set PELTON_NATS_TLS_CERT too/,
    ],
    ['a seed for a path', { nkeyFile: `SU${'A'.repeat(56)}` }, 'PELTON_NATS_NKEY', /no path.*\(hidden\)/],
    [
      'credentials for a path',
      { credsFile: '-----BEGIN NATS USER JWT-----\nx' },
      'PELTON_NATS_CREDS',
      /no path/,
    ],
    ['a domain with dots', { domain: 'a.b' }, 'PELTON_NATS_DOMAIN', /"a\.b"/],
    ['a prefix with wildcards', { inboxPrefix: '_INBOX.>' }, 'PELTON_NATS_INBOX_PREFIX', /no prefix/],
    ['a prefix with a dot behind', { inboxPrefix: '_INBOX.' }, 'PELTON_NATS_INBOX_PREFIX', /no prefix/],
  ])('refuses %s, and shows no secret', (_what, options, field, text) => {
    const check = (): void => checkSecurity(options, 'settings')
    expect(check).toThrow(text)
    expect(check).toThrow(expect.objectContaining({ code: 'invalid-configuration' }))
    expect(check).toThrow(expect.objectContaining({ details: expect.objectContaining({ field }) }))
    expect(check).toThrow(/^(?!.*hunter2)/s)
  })

  it('calls options by their names for whoever uses the package', () => {
    const check = (): void => checkSecurity({ tls: { certFile: '/a' } }, 'options')
    expect(check).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
    expect(check).toThrow(/tls\.certFile = "\/a".*Set tls\.keyFile too/)
  })
})

it.each([
  ['nats://host:4222', ['host:4222'], false, undefined],
  ['host', ['host'], false, undefined],
  ['tls://a:1, nats://b:2', ['a:1', 'b:2'], true, undefined],
  ['nats://me:p%40ss@host:1', ['host:1'], false, { user: 'me', password: 'p@ss' }],
  ['nats://me:p@ss:12@host:1,other:2', ['host:1', 'other:2'], false, { user: 'me', password: 'p@ss:12' }],
  ['tls://t0ken@[::1]:4222', ['[::1]:4222'], true, { token: 't0ken' }],
  ['nats://me:100%@host', ['host'], false, { user: 'me', password: '100%' }],
])('splitUrl takes %s apart', (url, servers, isTls, userInfo) =>
  expect(splitUrl(url)).toEqual({ servers, isTls, userInfo }),
)
