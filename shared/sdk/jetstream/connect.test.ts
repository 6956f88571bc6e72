import { expect, it } from 'vitest'
import { withoutSecrets } from './connect.ts'
import { inboxOf } from './security.ts'

it.each([
  ['nats://host:4222', 'nats://host:4222'],
  ['host:4222', 'host:4222'],
  ['nats://user:secret@host:4222', 'nats://***@host:4222'],
  ['secret@host:4222', '***@host:4222'],
  ['tls://se@cr/et@host', 'tls://***@host'],
  ['nats://a:secret@one:1, nats://b:secret@two:2,three:3', 'nats://***@one:1, nats://***@two:2,three:3'],
])('withoutSecrets shows %s as %s', (url, shown) => expect(withoutSecrets(url)).toBe(shown))

it.each([
  ['worker', '_INBOX.worker'],
  ['team-a_1', '_INBOX.team-a_1'],
  ['a.b c*>', '_INBOX.a_b_c__'],
  ['x'.repeat(300), `_INBOX.${'x'.repeat(64)}`],
])('inboxes of the user %s are below %s', (user, inbox) => expect(inboxOf(user)).toBe(inbox))
