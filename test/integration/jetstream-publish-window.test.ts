import type { Msg, NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { encodeHeaderBlock, HEADERS, type HeaderEntry } from '../../shared/sdk/contract/headers.ts'
import type { OutgoingMessage } from '../../shared/sdk/contract/outcome.ts'
import { ApiRefusal, lastOfSubject, requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import {
  API_ERRORS,
  isFull,
  type PublishReply,
  publishError,
} from '../../shared/sdk/jetstream/publish-reply.ts'
import { type EncodedMessage, PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'

let broker: TestBroker
let connection: NatsConnection

beforeAll(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
})
afterAll(() => broker?.stop())

async function createStream(name: string, config: object = {}, at = connection): Promise<void> {
  await requestApi(at, `STREAM.CREATE.${name}`, { name, subjects: [`${name.toLowerCase()}.>`], ...config })
}

function message(subject: string, body = '', headers: readonly HeaderEntry[] = []): OutgoingMessage {
  return { subject, headers, body: Buffer.from(body) }
}

function encoded({ subject, headers, body }: OutgoingMessage): EncodedMessage {
  return { subject, headerBlock: encodeHeaderBlock(headers), body }
}

async function stored(stream: string, at = connection): Promise<number> {
  return (await streamInfo(at, stream))?.state.messages ?? -1
}

describe('PublishWindow', () => {
  it('stores 10 000 publishes through a window of 256, each once and in order', async () => {
    await createStream('MANY')
    const window = new PublishWindow(connection, { maxInFlight: 256, timeoutMs: 60_000 })
    const replies = await Promise.all(
      Array.from({ length: 10_000 }, (_, index) => window.publish(message('many.a', String(index)))),
    )
    expect(replies.map((reply) => (reply.kind === 'stored' ? reply.sequence : reply.kind))).toEqual(
      Array.from({ length: 10_000 }, (_, index) => index + 1),
    )
    expect(await stored('MANY')).toBe(10_000)
    expect(window.pending).toBe(0)
    window.close()
  })

  it('stores the messages of batches beside single ones, each once, and tells of each by its place', async () => {
    await createStream('BATCHES')
    const window = new PublishWindow(connection, { maxInFlight: 100, timeoutMs: 60_000 })
    const batchOf = (name: string, size: number) =>
      Array.from({ length: size }, (_, index) => encoded(message('batches.a', `${name} ${index}`)))
    const told = new Map<string, number>()
    const sending = ['a', 'b', 'c'].map((name, at) => {
      const size = [250, 64, 1][at] as number
      const all = new Promise<void>((resolve) => {
        let left = size
        void window.publishAll(batchOf(name, size), {
          onReply: (index, reply) => {
            if (reply.kind === 'stored') told.set(`${name} ${index}`, reply.sequence)
            if (--left === 0) resolve()
          },
        })
      })
      return Promise.all([all, window.publish(message('batches.a', `${name} single`))])
    })
    await Promise.all(sending)
    expect(told.size).toBe(315)
    expect(await stored('BATCHES')).toBe(318)
    for (const [name, sequence] of told) {
      const { data } = (await requestApi<{ readonly message: { readonly data: string } }>(
        connection,
        'STREAM.MSG.GET.BATCHES',
        { seq: sequence },
      ).then(({ message: one }) => one)) as { readonly data: string }
      expect(Buffer.from(data, 'base64').toString()).toBe(name)
    }
    expect(window.pending).toBe(0)
    window.close()
  })

  it('asks of each message of a batch right before it is sent, and tells of those that may not go', async () => {
    await createStream('ASKED')
    const window = new PublishWindow(connection, { maxInFlight: 2, timeoutMs: 60_000 })
    const replies: PublishReply[] = []
    let mayGo = true
    const batch = Array.from({ length: 5 }, (_, index) => encoded(message('asked.a', `${index}`)))
    await window.publishAll(batch, {
      mayGo: (index) => mayGo && index !== 1,
      onReply: (index, reply) => {
        replies[index] = reply
        if (index === 2) mayGo = false
      },
    })
    await expect.poll(() => Object.keys(replies).length).toBe(5)
    expect(replies.map(({ kind }) => kind)).toEqual(['stored', 'unknown', 'stored', 'stored', 'unknown'])
    expect(await stored('ASKED')).toBe(3)
    window.close()
  })

  it('has never more in flight than its window, also where publishes begin while others end', async () => {
    const other = await broker.connect()
    const unanswered: Msg[] = []
    let most = 0
    other.subscribe('slow.a', {
      callback: (_error, request) => {
        most = Math.max(most, unanswered.push(request))
        setImmediate(() => unanswered.shift()?.respond('{"stream":"SLOW","seq":1}'))
      },
    })
    await other.flush()
    const window = new PublishWindow(connection, { maxInFlight: 4, timeoutMs: 60_000 })
    const chain = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        expect(await window.publish(message('slow.a'))).toMatchObject({ kind: 'stored' })
      }
    }
    await Promise.all(Array.from({ length: 12 }, chain))
    expect(most).toBe(4)
    expect(window.pending).toBe(0)
    window.close()
  })

  it.each([
    ['messages', { max_msgs: 2, discard: 'new' }],
    ['bytes', { max_bytes: 200, discard: 'new' }],
    ['messages of one subject', { max_msgs_per_subject: 2, discard: 'new', discard_new_per_subject: true }],
  ])('recognises a stream that is full of %s', async (what, config) => {
    const name = `FULL_${what.replaceAll(' ', '_')}`
    await createStream(name, config)
    const window = new PublishWindow(connection)
    const replies: PublishReply[] = []
    for (let i = 0; i < 8; i++) {
      replies.push(await window.publish(message(`${name.toLowerCase()}.a`, 'x'.repeat(40))))
    }
    const refused = replies.filter((reply) => reply.kind !== 'stored')
    expect(replies[0]).toEqual({ kind: 'stored', sequence: 1, duplicate: false })
    expect(refused.length).toBeGreaterThan(0)
    for (const reply of refused) {
      expect(reply).toMatchObject({ kind: 'refused', code: API_ERRORS.storeFailed })
      expect(isFull(reply)).toBe(true)
      expect(publishError(name, reply)).toMatchObject({ code: 'stream-full' })
    }
    window.close()
  })

  it('tells another refusal from a full stream', async () => {
    await createStream('REGISTER')
    const window = new PublishWindow(connection)
    const expecting = (sequence: number) =>
      window.publish(
        message('register.a', 'x', [
          [HEADERS.expectedStream, 'REGISTER'],
          [HEADERS.expectedSubjectSequence, String(sequence)],
        ]),
      )
    expect(await expecting(0)).toMatchObject({ kind: 'stored', sequence: 1 })
    const refused = await expecting(0)
    expect(refused).toMatchObject({ kind: 'refused', code: API_ERRORS.wrongLastSequence, status: 400 })
    expect(isFull(refused)).toBe(false)
    expect(await expecting(1)).toMatchObject({ kind: 'stored', sequence: 2 })
    window.close()
  })

  it('says that the stream had the message already', async () => {
    await createStream('TWICE')
    const window = new PublishWindow(connection)
    const once = message('twice.a', 'x', [[HEADERS.messageId, 'one']])
    expect(await window.publish(once)).toEqual({ kind: 'stored', sequence: 1, duplicate: false })
    expect(await window.publish(once)).toEqual({ kind: 'stored', sequence: 1, duplicate: true })
    window.close()
  })

  it('refuses what is larger than the broker takes, and goes on', async () => {
    await createStream('LARGE', { max_msg_size: 100_000 })
    const window = new PublishWindow(connection, { maxInFlight: 1 })
    const limit = connection.info?.max_payload ?? 0
    const byClient = window.publish(message('large.a', 'x'.repeat(limit + 1)))
    const byHeaders = window.publish(message('large.a', 'x'.repeat(limit - 10), [['a', 'x'.repeat(100)]]))
    const byStream = window.publish(message('large.a', 'x'.repeat(100_001)))
    for (const reply of await Promise.all([byClient, byHeaders, byStream])) {
      expect(reply).toMatchObject({ kind: 'refused', code: API_ERRORS.tooLarge })
    }
    expect(await window.publish(message('large.a', 'small'))).toMatchObject({ kind: 'stored' })
    expect(window.pending).toBe(0)
    window.close()
  })

  it('knows nothing where no stream listens', async () => {
    const window = new PublishWindow(connection)
    expect(await window.publish(message('nobody.a'))).toEqual({
      kind: 'unknown',
      description: 'no stream answers',
    })
    window.close()
  })

  it('does not take the answer of anybody but a stream for its word', async () => {
    const other = await broker.connect()
    const answers = ['{}', 'not JSON', '{"seq":"1"}', '[]']
    let next = 0
    other.subscribe('impostor.a', {
      callback: (_error, request) => void request.respond(answers[next++] ?? ''),
    })
    await other.flush()
    const window = new PublishWindow(connection)
    for (const _ of answers)
      expect(await window.publish(message('impostor.a'))).toMatchObject({ kind: 'unknown' })
    expect(next).toBe(answers.length)
    window.close()
  })

  it('knows nothing when the broker may not answer, and does not wait for ever', async () => {
    const silent = await broker.connect()
    silent.subscribe('silent.a', { callback: () => {} })
    await silent.flush()
    const window = new PublishWindow(connection, { timeoutMs: 100, maxInFlight: 2 })
    const replies = await Promise.all([1, 2, 3, 4, 5].map(() => window.publish(message('silent.a'))))
    expect(replies).toEqual(Array(5).fill({ kind: 'unknown', description: 'no answer within 100 ms' }))
    expect(window.pending).toBe(0)
    window.close()
  })

  it('resolves what waits when it is closed, in flight or not yet sent, and what is published afterwards', async () => {
    const silent = await broker.connect()
    let heard = 0
    silent.subscribe('held.a', { callback: () => void heard++ })
    await silent.flush()
    const window = new PublishWindow(connection, { maxInFlight: 2, timeoutMs: 600_000 })
    const waiting = [1, 2, 3, 4, 5].map(() => window.publish(message('held.a')))
    expect(window.pending).toBe(5)
    window.close()
    window.close()
    const closed = { kind: 'unknown', description: 'the publisher is closed' }
    expect(await Promise.all(waiting)).toEqual(Array(5).fill(closed))
    expect(await window.publish(message('held.a'))).toEqual(closed)
    await connection.flush()
    await silent.flush()
    expect(heard).toBe(2)
    expect(window.pending).toBe(0)
  })

  it('knows nothing once its connection is closed', async () => {
    const own = await broker.connect()
    const window = new PublishWindow(own, { maxInFlight: 1 })
    await own.close()
    const replies = await Promise.all([1, 2].map(() => window.publish(message('many.a'))))
    expect(replies.map(({ kind }) => kind)).toEqual(['unknown', 'unknown'])
    window.close()
  })
})

describe('PublishWindow, when the broker is killed', () => {
  it('knows nothing of what was in flight, and goes on after the restart', async () => {
    const own = await startTestBroker()
    try {
      const link = await own.connect()
      await createStream('CRASH', {}, link)
      const window = new PublishWindow(link, { timeoutMs: 1_000, maxInFlight: 8 })
      expect(await window.publish(message('crash.a', 'before'))).toMatchObject({ kind: 'stored' })
      await own.kill()
      const during = await Promise.all(Array.from({ length: 20 }, () => window.publish(message('crash.a'))))
      expect(new Set(during.map(({ kind }) => kind))).toEqual(new Set(['unknown']))
      expect(publishError('CRASH', during[0] as Exclude<PublishReply, { kind: 'stored' }>)).toMatchObject({
        code: 'broker-unavailable',
      })
      await own.restart()
      await vi.waitFor(
        async () =>
          expect(await window.publish(message('crash.a', 'after'))).toMatchObject({ kind: 'stored' }),
        { timeout: 60_000 },
      )
      const last = await lastOfSubject(link, 'CRASH', 'crash.a')
      expect(Buffer.from(last?.body ?? '').toString()).toBe('after')
      window.close()
    } finally {
      await own.stop()
    }
  })
})

describe('the JetStream API', () => {
  it('finds nothing where nothing is, and passes refusals on', async () => {
    expect(await streamInfo(connection, 'NOWHERE')).toBeUndefined()
    await createStream('EMPTY')
    expect(await lastOfSubject(connection, 'EMPTY', 'empty.a')).toBeUndefined()
    await expect(lastOfSubject(connection, 'NOWHERE', 'a')).rejects.toThrow(ApiRefusal)
    await expect(requestApi(connection, 'STREAM.INFO.NOWHERE')).rejects.toMatchObject({
      code: 10059,
      status: 404,
    })
  })

  it('says so when nobody answers', async () => {
    await expect(requestApi(connection, 'NO.SUCH.CALL')).rejects.toMatchObject({ code: 'broker-unavailable' })
  })
})
