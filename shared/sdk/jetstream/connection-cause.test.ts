import { errors } from '@nats-io/transport-node'
import { describe, expect, it } from 'vitest'
import { type CauseContext, explainConnection, explainRequest } from './connection-cause.ts'

const coded = (message: string, code: string, cause?: unknown): Error =>
  Object.assign(new Error(message, { cause }), { code })
const context = (options: CauseContext['options']): CauseContext => ({ options, naming: 'settings' })

describe('explainConnection', () => {
  it.each<[string, unknown, string, RegExp]>([
    [
      'a certificate of an own authority',
      new Error('connection failed', {
        cause: coded('unable to verify the first certificate', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'),
      }),
      "the broker's certificate is signed by an authority that is not known here (unable to verify the first certificate (UNABLE_TO_VERIFY_LEAF_SIGNATURE))",
      /PELTON_NATS_TLS_CA/,
    ],
    [
      'nobody who says who this is',
      new Error("'Authorization Violation'"),
      "the broker asks who this is, and nothing says so ('Authorization Violation')",
      /PELTON_NATS_CREDS, PELTON_NATS_NKEY, PELTON_NATS_USER or PELTON_NATS_TOKEN/,
    ],
    [
      'an account that has expired',
      new Error('Account Authentication Expired'),
      'the account has expired (Account Authentication Expired)',
      /renew the JWT of the account/,
    ],
    [
      'a user that was revoked',
      new Error('User Authentication Revoked'),
      'the broker has revoked this user (User Authentication Revoked)',
      /PELTON_NATS_CREDS/,
    ],
    [
      'too many connections',
      new Error('maximum account active connections exceeded'),
      'the broker takes no more connections (maximum account active connections exceeded)',
      /max_connections/,
    ],
    [
      'a port where nobody listens',
      new Error('connection refused', { cause: coded('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED') }),
      'connect ECONNREFUSED 127.0.0.1:1',
      /^Check the address, and that the broker runs\.$/,
    ],
    [
      'several addresses of a host',
      new AggregateError([coded('connect ECONNREFUSED ::1:1', 'ECONNREFUSED')], 'all failed'),
      'connect ECONNREFUSED ::1:1',
      /that the broker runs/,
    ],
    [
      'a name nobody knows',
      coded('getaddrinfo ENOTFOUND nats', 'ENOTFOUND'),
      'nobody knows the host (getaddrinfo ENOTFOUND nats)',
      /host name in PELTON_NATS_URL/,
    ],
    ['what is no error', 'no', 'no', /that the broker runs/],
  ])('says of %s what it is and what helps', (_what, thrown, text, remedy) => {
    expect(explainConnection(thrown, context({}))).toEqual({ text, remedy: expect.stringMatching(remedy) })
    const { remedy: ofOptions } = explainConnection(thrown, { options: {}, naming: 'options' })
    expect(ofOptions).not.toContain('PELTON_')
  })

  it.each<[CauseContext['options'], RegExp, RegExp]>([
    [
      { user: 'a', password: 'b' },
      /this user with this password/,
      /PELTON_NATS_USER and PELTON_NATS_PASSWORD\./,
    ],
    [{ user: 'a', passwordFile: '/p' }, /this user/, /PELTON_NATS_USER and PELTON_NATS_PASSWORD_FILE\./],
    [{ url: 'nats://a:b@h' }, /this user/, /^Check PELTON_NATS_URL\.$/],
    [{ tokenFile: '/t' }, /this token/, /PELTON_NATS_TOKEN_FILE/],
    [{ nkeyFile: '/n' }, /this nkey/, /PELTON_NATS_NKEY \(\/n\)/],
    [{ credsFile: '/c' }, /these credentials/, /PELTON_NATS_CREDS \(\/c\)/],
  ])('names what was told to the broker: %j', (options, text, remedy) => {
    const said = explainConnection(new Error('Authorization Violation'), context(options))
    expect(said.text).toMatch(text)
    expect(said.remedy).toMatch(remedy)
    const ofOptions = explainConnection(new Error('Authorization Violation'), { options, naming: 'options' })
    expect(ofOptions.text).toBe(said.text)
    expect(ofOptions.remedy).not.toContain('PELTON_')
  })

  it('names the authority that is the wrong one', () => {
    const thrown = coded('self-signed certificate in certificate chain', 'SELF_SIGNED_CERT_IN_CHAIN')
    expect(explainConnection(thrown, context({ tls: { caFile: '/ca.pem' } })).remedy).toContain(
      '/ca.pem has another',
    )
  })

  it('comes to an end with causes that lead back to themselves, and stays one line', () => {
    const circle = new Error('a\nb')
    circle.cause = circle
    expect(explainConnection(circle, context({})).text).toBe('a b')
  })
})

describe('explainRequest', () => {
  const nobody = new errors.RequestError('no responders', {
    cause: new errors.NoRespondersError('$JS.hup.API.INFO'),
  })

  it('says that nobody answers for a domain, and which setting names it', () => {
    expect(explainRequest(nobody, 'hup', 'settings')).toEqual({
      text: 'no JetStream answers for the domain hup',
      remedy: expect.stringContaining('PELTON_NATS_DOMAIN'),
    })
    expect(explainRequest(nobody, 'hup', 'options').remedy).toMatch(/^Set domain to /)
  })

  it('says without a domain that there is no JetStream for this account', () => {
    expect(explainRequest(nobody, undefined, 'settings').text).toContain('not enabled for this account')
  })

  it('has no remedy for what only took too long', () => {
    expect(explainRequest(new errors.TimeoutError(), undefined, 'settings')).toEqual({ text: 'timeout' })
  })
})
