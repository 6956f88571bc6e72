import { expect, it } from 'vitest'
import type { Expiry } from '../../sdk/jetstream/expiry.ts'
import { judgeExpiries } from './credentials.ts'

const DAY_MS = 24 * 3_600_000
const NOW = Date.parse('2026-11-29T12:00:00Z')
const ends = (inMs: number, kind: Expiry['kind'] = 'credentials'): Expiry => ({
  kind,
  file: '/secrets/user.creds',
  expiresAt: NOW + inMs,
})

it.each([
  ['in eight days', 8 * DAY_MS, 'ok'],
  ['in a week', 7 * DAY_MS, 'ok'],
  ['in less than a week', 7 * DAY_MS - 1, 'warn'],
  ['in a day', DAY_MS, 'warn'],
  ['in less than a day', DAY_MS - 1, 'fail'],
  ['an hour ago', -3_600_000, 'fail'],
])('what ends %s is %s', (_when, inMs, level) => {
  expect(judgeExpiries([ends(inMs)], NOW)).toEqual([expect.objectContaining({ level, check: 'credentials' })])
})

it('says which file, until when, and the setting to change', () => {
  expect(judgeExpiries([ends(-1, 'certificate')], NOW)).toEqual([
    {
      level: 'fail',
      check: 'certificate',
      text: 'the client certificate in /secrets/user.creds ended at 2026-11-29T11:59:59.999Z',
      remedy: 'Put new ones into the file of PELTON_NATS_TLS_CERT: they are read at the next connect.',
    },
  ])
})
