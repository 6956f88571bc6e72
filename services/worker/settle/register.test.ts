import type { NatsConnection } from '@nats-io/transport-node'
import { describe, expect, it, test } from 'vitest'
import { outcomeDigest, writtenDigest } from '../../../shared/sdk/contract/outcome-digest.ts'
import { encodeLines } from '../../../shared/sdk/contract/register-message.ts'
import { setDataPath } from '../../../shared/sdk/jetstream/data-path.ts'
import { claimNames } from '../../../shared/sdk/jetstream/names-of.ts'
import { readWorkerSettings } from '../config.ts'
import type { Delivery } from '../intake/delivery.ts'
import { createClaims, Register, type RegisterDeps } from './register.ts'

const message = { subject: 'results.m.t', lines: 'Pelton-Token: t\r\n', body: Buffer.from('{}') }

describe('createClaims', () => {
  test.each(['RESULTS', 'staging-RESULTS'])('names %s, and what its register has to hold', (results) => {
    const claims = createClaims(results)
    const text = (expected?: number): string =>
      Buffer.from(claims.of(message, expected).headerBlock).toString()
    expect(text()).toBe(
      `NATS/1.0\r\nNats-Expected-Stream: ${results}\r\nNats-Expected-Last-Subject-Sequence: 0\r\nPelton-Token: t\r\n\r\n`,
    )
    expect(text(7)).toContain('Nats-Expected-Last-Subject-Sequence: 7\r\n')
  })

  it('knows where the lines of the outcome begin: its digest is that of the outcome alone', () => {
    for (const results of ['RESULTS', 'staging-RESULTS']) {
      const claims = createClaims(results)
      const { headerBlock, body } = claims.of(message)
      expect(writtenDigest(headerBlock, claims.ownLines, body)).toBe(
        outcomeDigest(encodeLines(message), body),
      )
    }
  })
})

describe('wake', () => {
  const ASKED = ['_INBOX.a', '_pelton.reply.a', 'staging._pelton.reply.a', 'APP.a', 'staging.results.a.b']

  test.each([
    ['those of its Pelton', {}, ['_INBOX.a', '_pelton.reply.a']],
    ['of a prefix, nobody of another', { PELTON_PREFIX: 'staging' }, ['_INBOX.a', 'staging._pelton.reply.a']],
    ['whom the settings name, and nobody else', { PELTON_REPLY_PREFIXES: 'APP' }, ['APP.a']],
  ])('reaches %s', (_who, env, reached) => {
    const settings = readWorkerSettings(env)
    const said: string[] = []
    const connection = { isClosed: () => false } as unknown as NatsConnection
    claimNames(connection, settings.PELTON_PREFIX)
    setDataPath(connection, {
      publish: (subject: string) => void said.push(subject),
    } as unknown as Parameters<typeof setDataPath>[1])
    const replyRoots = settings.PELTON_REPLY_PREFIXES
    const register = new Register({ connection, replyRoots } as unknown as RegisterDeps)
    for (const replyTo of ASKED)
      register.wake({ event: { replyTo } } as unknown as Delivery, {
        headerBlock: message.body,
        body: message.body,
      })
    expect(said).toEqual(reached)
  })
})
