import type { NatsConnection, Server } from '@nats-io/transport-node'
import { expect, it } from 'vitest'
import { createServerChoice } from './server-choice.ts'

const pool = ['a:1', 'b:2', 'c:3'].map((listen) => ({ listen }) as Server)

/** What the choice reads of a connection. */
const at = (server: string, told: readonly string[] = []): NatsConnection =>
  ({ getServer: () => server, info: { connect_urls: told } }) as unknown as NatsConnection

const dialled = (chosen: unknown): string => (chosen as Server).listen

it('dials the servers in turn, whichever the client would have selected', () => {
  const { dial } = createServerChoice()
  const [a, b, c] = pool as [Server, Server, Server]
  expect([pool, [c, a, b], [b, c, a], [b, c, a]].map((each) => dialled(dial(each, null)))).toEqual([
    'a:1',
    'c:3',
    'b:2',
    'a:1',
  ])
  expect(dial([], null)).toBeNull()
})

it('dials the server that is preferred, once, and in turn where the client does not know it', () => {
  const { dial, prefer } = createServerChoice()
  expect(dialled(dial(pool, null))).toBe('a:1')
  prefer('a:1')
  expect(dialled(dial(pool, null))).toBe('a:1')
  expect(dialled(dial(pool, null))).toBe('b:2')
  prefer('gone:9')
  expect(dialled(dial(pool, null))).toBe('c:3')
})

it('knows all servers but the one of the connection, those too that the broker tells of', () => {
  const { dial, others } = createServerChoice()
  expect(others(at('a:1'))).toEqual([])
  dial(pool, null)
  expect(others(at('b:2'))).toEqual(['a:1', 'c:3'])
  expect(others(at('a:1', ['c:3', 'd:4']))).toEqual(['b:2', 'c:3', 'd:4'])
})
