import { expect, it } from 'vitest'
import { explainConnection } from './connection-cause.ts'

const coded = (message: string, code: string, cause?: unknown): Error =>
  Object.assign(new Error(message, { cause }), { code })

it.each([
  [
    'a certificate of an own authority',
    new Error('connection failed', {
      cause: coded('unable to verify the first certificate', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'),
    }),
    'unable to verify the first certificate (UNABLE_TO_VERIFY_LEAF_SIGNATURE)',
    /NODE_EXTRA_CA_CERTS/,
  ],
  [
    'wrong credentials',
    new Error("'Authorization Violation'"),
    "'Authorization Violation'",
    /PELTON_NATS_USER/,
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
    'getaddrinfo ENOTFOUND nats',
    /host name/,
  ],
  ['what is no error', 'no', 'no', /that the broker runs/],
])('says of %s what it is and what helps', (_what, thrown, text, remedy) => {
  expect(explainConnection(thrown)).toEqual({ text, remedy: expect.stringMatching(remedy) })
})

it('comes to an end with causes that lead back to themselves, and stays one line', () => {
  const circle = new Error('a\nb')
  circle.cause = circle
  expect(explainConnection(circle).text).toBe('a b')
})
