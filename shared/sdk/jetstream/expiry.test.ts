import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { jwtEnd, readExpiries } from './expiry.ts'

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const jwt = (claims: object): string => `${part({ typ: 'JWT' })}.${part(claims)}.c2ln`

it('reads when the JWT of a credentials file ends', () => {
  const text = `-----BEGIN NATS USER JWT-----\n${jwt({ exp: 1_800_000_000 })}\n------END NATS USER JWT------\n`
  expect(jwtEnd(text)).toBe(1_800_000_000_000)
})

it.each([
  ['one without an end', jwt({ sub: 'U' })],
  ['one whose end is 0, which is none', jwt({ exp: 0 })],
  ['no JWT', 'SUABC'],
])('knows no end of %s', (_what, text) => expect(jwtEnd(text)).toBeUndefined())

it('leaves out what cannot be read', () => {
  expect(readExpiries({ credsFile: '/none', tls: { certFile: '/none' } })).toEqual([])
  expect(readExpiries({ tls: { certFile: fileURLToPath(import.meta.url) } })).toEqual([])
})
