import { expect, it } from 'vitest'
import { expiryAlerts } from './expiry-look.ts'

const DAY_MS = 24 * 3_600_000
const NOW = Date.parse('2026-11-29T12:00:00Z')

it('alerts of what ends within a week, and of nothing else', () => {
  const ends = (kind: 'credentials' | 'certificate', days: number) => ({
    ...{ kind, file: `/${kind}` },
    expiresAt: NOW + days * DAY_MS,
  })
  expect(expiryAlerts('c1', [ends('credentials', 6), ends('certificate', 8)], NOW)).toEqual([
    {
      kind: 'credentials-end',
      about: 'c1 credentials',
      text: 'of control service c1, the credentials in /credentials end in 6.0 d, at 2026-12-05T12:00:00.000Z',
      remedy: expect.stringContaining('PELTON_NATS_CREDS'),
      count: 0,
    },
  ])
})
