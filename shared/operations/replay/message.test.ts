import { describe, expect, it } from 'vitest'
import { readEvent } from '../../sdk/contract/event.ts'
import type { Headers } from '../../sdk/contract/headers.ts'
import { deadLetterMessage } from '../../sdk/contract/outcome.ts'
import { payloadDigest } from '../../sdk/contract/token.ts'
import { originOf } from '../dead-letters/origin.ts'
import { isSameEvent, replayMessage, slimmed } from './message.ts'

const SUBJECT = 'due.vip.m%2Fx.high.AAAAAAAAAAAAAAAAAAAAAA'
const original = readEvent({
  subject: 'features.vip.m%2Fx.high',
  headers: new Map([
    ['ce-id', 'i'],
    ['ce-source', 's'],
    ['ce-subject', 'p'],
    ['ce-expirytime', '2020-01-01T00:00:00Z'],
    ['traceparent', '00-aa-bb-01'],
    ['nats-msg-id', 'n'],
    ['pelton-reply-to', '_INBOX.gone'],
    ['pelton-replay', 'earlier'],
    ['pelton-supersedes', '4'],
    ['pelton-attempt', '3'],
    ['pelton-model-version', '5'],
    ['x-own', 'kept'],
  ]),
  body: Buffer.from('{}'),
  stream: 'FEATURES',
  epoch: '2026-01-01T00:00:00Z',
  sequence: 17,
})
const made = { worker: 'w', at: 0, deliveryCount: 1, storedAt: 0, modelVersion: '7', inputDigest: 'd' }
const failure = { reason: 'shed', description: 'late', stage: 'guard' } as const
const written = deadLetterMessage(original, SUBJECT, failure, made)
const lower = (entries: readonly (readonly [string, string])[]): Headers =>
  new Map(entries.map(([name, value]) => [name.toLowerCase(), value]))
const letter = { model: 'm/x', token: original.token, headers: lower(written.headers), body: written.body }
const options = { lane: 'low', keepDeadline: false } as const

function replay(
  change: Parameters<typeof replayMessage>[2] = options,
  edited?: Parameters<typeof replayMessage>[3],
) {
  const found = originOf(letter)
  if (found === undefined) throw new Error('this dead letter has no origin')
  const facts = { ...found, task: 'T', supersedes: 9, letter: 17, replyTo: '_INBOX.r.t' }
  const message = replayMessage(letter, facts, change, edited)
  const headers = lower(message.headers)
  const stored = { ...message, headers, stream: 'FEATURES', epoch: 'later', sequence: 99 }
  return { message, headers, event: readEvent(stored) }
}

describe('the event of a dead letter, sent again', () => {
  it('is the same event: identity, payload, attributes, pool; a first attempt that supersedes the notice', () => {
    const { event, headers } = replay()
    expect(event).toMatchObject({
      token: original.token,
      origin: original.origin,
      id: 'i',
      source: 's',
      route: { pool: 'vip', model: 'm/x', lane: 'low' },
      attempt: 1,
      supersedes: 9,
      replyTo: '_INBOX.r.t',
      problem: undefined,
    })
    expect(event.body).toEqual(original.body)
    for (const name of ['ce-subject', 'traceparent', 'x-own', 'pelton-history'])
      expect(headers.get(name)).toBe(letter.headers.get(name))
    expect(headers.get('pelton-replay')).toBe('T')
    expect(headers.get('pelton-replayed-letter')).toBe('17')
  })

  it('asks for the version its producer asked for, not the one that failed, unless told to drop it', () => {
    expect(letter.headers.get('pelton-failed-version')).toBe('7')
    expect(replay().event.modelVersion).toBe('5')
    expect(replay({ ...options, dropVersion: true }).event.modelVersion).toBeUndefined()
    expect(replay({ ...options, dropVersion: true, modelVersion: '8' }).event.modelVersion).toBe('8')
    expect(replay().headers.has('pelton-failed-version')).toBe(false)
  })

  it('has no deadline and no message id', () => {
    const { event, headers } = replay()
    expect(event.expiresAt).toBeUndefined()
    const left = [...headers.keys()].filter((name) => /^(x-(dead|orig|failed|first|deliv)|nats-)/.test(name))
    expect(left).toEqual(['nats-expected-stream'])
  })

  it('asks for the version and keeps the deadline when told to', () => {
    const { event } = replay({ lane: 'high', keepDeadline: true, modelVersion: '8' })
    expect(event).toMatchObject({ modelVersion: '8', expiresAt: Date.parse('2020-01-01T00:00:00Z') })
    expect(event.route.lane).toBe('high')
  })

  it('writes each header once', () => {
    const edited = { body: Buffer.from('[]'), inferenceHeaderLength: 2 }
    for (const { message } of [replay(), replay({ ...options, modelVersion: '8' }, edited)]) {
      const names = message.headers.map(([name]) => name.toLowerCase())
      expect(new Set(names).size).toBe(names.length)
    }
  })

  it('with another payload is the same event, and tells the digest of its first one', () => {
    const { message, event, headers } = replay(options, {
      body: Buffer.from('[1]'),
      inferenceHeaderLength: 3,
    })
    expect(event.token).toBe(original.token)
    expect(Buffer.from(event.body).toString()).toBe('[1]')
    expect(event.inferenceHeaderLength).toBe('3')
    expect(headers.get('pelton-original-digest')).toBe(payloadDigest(original.body))
    const again = { ...letter, headers, body: message.body }
    const facts = {
      ...(originOf(letter) ?? { origin: original.origin, pool: '' }),
      task: 'U',
      supersedes: 10,
      letter: 18,
    }
    const twice = replayMessage(again, { ...facts, replyTo: '_INBOX.r' }, options, {
      body: Buffer.from('[2]'),
      inferenceHeaderLength: undefined,
    })
    expect(lower(twice.headers).get('pelton-original-digest')).toBe(payloadDigest(original.body))
  })

  it('where it must be small goes without what it can do without, and is the same event still', () => {
    const { message } = replay()
    const small = slimmed(message)
    const headers = lower(small?.headers ?? [])
    const left = [...lower(message.headers).keys()].filter((name) => !headers.has(name))
    expect(left.sort()).toEqual([
      'pelton-attempt',
      'pelton-history',
      'pelton-replayed-letter',
      'pelton-reply-to',
    ])
    expect(small && isSameEvent(small, original.token)).toBe(true)
    expect(readEvent({ ...message, headers, stream: 'FEATURES', epoch: '', sequence: 9 })).toMatchObject({
      attempt: 1,
      supersedes: 9,
      origin: original.origin,
    })
    expect(small && slimmed(small)).toBeUndefined()
  })

  it('is not sent under another identity', () => {
    const { message } = replay()
    expect(isSameEvent(message, original.token)).toBe(true)
    const unreadable = message.headers.map(
      ([name, value]) => [name, name === 'ce-id' ? '%FF' : value] as const,
    )
    expect(isSameEvent({ ...message, headers: unreadable }, original.token)).toBe(false)
  })

  it.each(['pelton-token', 'pelton-origin', 'x-original-subject'])('has no origin without %s', (name) => {
    const headers = new Map(letter.headers)
    headers.delete(name)
    expect(originOf({ ...letter, headers })).toBeUndefined()
  })
})
