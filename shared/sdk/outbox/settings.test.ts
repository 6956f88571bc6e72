import type { NatsConnection } from '@nats-io/transport-node'
import { expect, test } from 'vitest'
import { eventMessage } from '../event-message.ts'
import { readOutboxSettings } from './settings.ts'

const OPTIONS = { path: '/tmp/outbox', source: 'gate/7' }
const EVENT = { model: 'm', features: {}, replyTo: 'acme.replies.app.a' }

test.each([
  ['of its own connection', { inboxPrefix: 'acme.replies.app' }],
  ['of a connection it shares', { connection: { options: { inboxPrefix: 'acme.replies.app' } } }],
])('takes what asks for an answer below the inbox prefix %s, as a producer does', (_whose, given) => {
  const settings = readOutboxSettings({ ...OPTIONS, ...(given as { connection?: NatsConnection }) })
  expect(() => eventMessage(EVENT, { ...settings, now: 0 })).not.toThrow()
  expect(() => eventMessage({ ...EVENT, replyTo: 'acme.results.a.b' }, { ...settings, now: 0 })).toThrow(
    /acme\.results\.a\.b/,
  )
})
