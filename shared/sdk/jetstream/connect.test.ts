import { expect, it } from 'vitest'
import { withoutSecrets } from './connect.ts'

it.each([
  ['nats://host:4222', 'nats://host:4222'],
  ['host:4222', 'host:4222'],
  ['nats://user:secret@host:4222', 'nats://***@host:4222'],
  ['secret@host:4222', '***@host:4222'],
  ['tls://se@cr/et@host', 'tls://***@host'],
  ['nats://a:secret@one:1, nats://b:secret@two:2,three:3', 'nats://***@one:1, nats://***@two:2,three:3'],
])('withoutSecrets shows %s as %s', (url, shown) => expect(withoutSecrets(url)).toBe(shown))
