import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readEvent } from '../../sdk/contract/event.ts'
import { encodeHeaderBlock } from '../../sdk/contract/headers.ts'
import { deadLetterMessage } from '../../sdk/contract/outcome.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import { archiveDeadLetter, readArchived } from './archive.ts'

const token = 'A'.repeat(22)
const headers = new Map([
  ['pelton-token', token],
  ['x-dead-letter-reason', 'shed'],
  ['nats-expected-stream', 'DEADLETTERS'],
])
const letter = { sequence: 3, model: 'm', token, sizeBytes: 1, storedAt: '2026-01-01T00:00:00Z', headers }
const lineOf = (body: Uint8Array): Uint8Array =>
  Buffer.from(JSON.stringify(archiveDeadLetter({ ...letter, body })))

describe('an archive of dead letters', () => {
  it('keeps any payload to the byte', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (body) => {
        expect(Buffer.from(readArchived(lineOf(body)).body)).toEqual(Buffer.from(body))
      }),
    )
  })

  it('brings a dead letter back as its worker wrote it, to the byte of its headers', () => {
    const subject = 'features.default.m.normal'
    const own = new Map([
      ['ce-id', 'e 1'],
      ['ce-source', '/x'],
      ['pelton-published-at', '2026-01-01T00:00:00Z'],
      ['x-tenant', 'a'],
    ])
    const stored = {
      subject,
      headers: own,
      body: Buffer.from('{}'),
      stream: 'FEATURES',
      epoch: 'e',
      sequence: 7,
    }
    const failure = { reason: 'shed', description: 'why', stage: 'infer' } as const
    const made = { worker: 'w', at: 5, deliveryCount: 1, storedAt: 4, modelVersion: '3', inputDigest: token }
    const written = deadLetterMessage(readEvent(stored), subject, failure, made)
    const block = encodeHeaderBlock(written.headers)
    const read = { ...letter, token: readEvent(stored).token, headers: parseHeaderBlock(block) }
    const archived = archiveDeadLetter({ ...read, body: written.body })
    const back = readArchived(Buffer.from(JSON.stringify(archived)))
    expect(Buffer.from(encodeHeaderBlock(back.headers)).toString()).toBe(Buffer.from(block).toString())
  })

  it('keeps text readable, and leaves the headers of the broker behind', () => {
    const archived = archiveDeadLetter({ ...letter, body: Buffer.from('{"a": 1}') })
    expect(archived).toMatchObject({ text: '{"a": 1}', headers: { 'pelton-token': token } })
    expect(readArchived(lineOf(new Uint8Array()))).toMatchObject({ subject: `deadletters.m.${token}` })
    expect(archived.headers).not.toHaveProperty('nats-expected-stream')
  })

  it.each([
    ['no JSON', '{'],
    ['another token', { token: 'B'.repeat(22) }],
    ['no reason', { headers: { 'pelton-token': token } }],
    ['a header that writes headers', { headers: { ...Object.fromEntries(headers), x: 'a\r\nb: c' } }],
    ['a header name that writes headers', { headers: { ...Object.fromEntries(headers), 'x\r\ny': 'a' } }],
    ['both payloads', { base64: 'AAAA' }],
    ['an unknown field', { more: 1 }],
  ])('refuses %s', (_name, change) => {
    const whole = archiveDeadLetter({ ...letter, body: Buffer.from('x') })
    const text = typeof change === 'string' ? change : JSON.stringify({ ...whole, ...change })
    expect(() => readArchived(Buffer.from(text))).toThrow(/malformed: this is no archived dead letter/)
  })
})
