import { jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../../../test/kit/broker.ts'
import { PatientStorage, type Try } from './storage.ts'

let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow
let storage: PatientStorage
let changes: Record<string, string>[]
let abort: AbortController

beforeAll(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
  window = new PublishWindow(connection)
})

beforeEach(() => {
  changes = []
  abort = new AbortController()
  const onChange = (refusing: ReadonlyMap<string, string>) => changes.push(Object.fromEntries(refusing))
  storage = new PatientStorage({ connection, window }, { signal: abort.signal, onChange })
})

afterEach(async () => {
  const { streams } = await jetstreamManager(connection)
  for await (const { config } of streams.list()) await streams.delete(config.name)
})

afterAll(async () => {
  window.close()
  await broker.stop()
})

function answers<Answer>(...tries: Try<Answer>[]): () => Promise<Try<Answer>> {
  return async () => tries.shift() as Try<Answer>
}

function message(subject: string, body = 'body') {
  return { subject, headers: [['Some-Header', 'value']] as const, body: Buffer.from(body) }
}

describe('patient storage', () => {
  test('says nothing about a stream that answers at once, or after one unknown', async () => {
    expect(await storage.ask('RESULTS', answers({ answer: 1 }))).toBe(1)
    expect(
      await storage.ask('RESULTS', answers({ again: 'unknown', because: 'election' }, { answer: 2 })),
    ).toBe(2)
    expect(
      await storage.ask(
        'RESULTS',
        answers({ again: 'open', because: 'claim' }, { again: 'open', because: 'claim' }, { answer: 3 }),
      ),
    ).toBe(3)
    expect(changes).toEqual([])
  })

  test('a stream is in trouble from its first refusal, or second unknown, until the answer, whatever the answer is', async () => {
    await storage.ask(
      'RESULTS',
      answers<string>({ again: 'refused', because: 'full' }, { answer: 'already answered' }),
    )
    await storage.ask(
      'LEDGER',
      answers<number>({ again: 'unknown', because: 'a' }, { again: 'unknown', because: 'b' }, { answer: 1 }),
    )
    expect(changes).toEqual([{ RESULTS: 'full' }, {}, { LEDGER: 'b' }, {}])
  })

  test('stays in trouble while anything waits for the stream', async () => {
    let free = (): void => {}
    const held = new Promise<Try<number>>((resolve) => {
      free = () => resolve({ answer: 1 })
    })
    const first = [{ again: 'refused', because: 'full' } as const]
    const slow = storage.ask<number>('RESULTS', async () => first.shift() ?? held)
    await storage.ask('RESULTS', answers<number>({ again: 'refused', because: 'full' }, { answer: 2 }))
    expect(Object.fromEntries(storage.refusing)).toEqual({ RESULTS: 'full' })
    free()
    await slow
    expect(changes).toEqual([{ RESULTS: 'full' }, {}])
  })

  test('ends waiting when aborted, and is in no trouble then', async () => {
    const waiting = storage.ask('RESULTS', async () => ({ again: 'refused', because: 'full' }))
    setImmediate(() => abort.abort())
    await expect(waiting).rejects.toThrow(/abort/i)
    expect(storage.refusing.size).toBe(0)
  })

  test('reads the last message of a subject with its headers, or that there is none', async () => {
    const { streams } = await jetstreamManager(connection)
    await streams.add({ name: 'KEPT', subjects: ['kept.*'], allow_direct: true })
    expect(await storage.store('KEPT', message('kept.a', 'first'))).toBe('stored')
    expect(await storage.store('KEPT', message('kept.a', 'second'))).toBe('stored')
    const found = await storage.read('KEPT', 'kept.a')
    expect(found?.sequence).toBe(2)
    expect(Buffer.from(found?.body ?? []).toString()).toBe('second')
    expect(found?.headers.get('some-header')).toBe('value')
    expect(await storage.read('KEPT', 'kept.b')).toBeUndefined()
  })

  test('stores as soon as the stream takes it again, and names the stream until then', async () => {
    const { streams } = await jetstreamManager(connection)
    await streams.add({ name: 'SMALL', subjects: ['small.*'], max_msgs: 1, discard: 'new' })
    expect(await storage.store('SMALL', message('small.a'))).toBe('stored')
    const stored = storage.store('SMALL', message('small.b'))
    await expect.poll(() => storage.refusing.get('SMALL')).toMatch(/maximum messages exceeded/)
    await streams.update('SMALL', { max_msgs: 2 })
    expect(await stored).toBe('stored')
    expect(changes).toEqual([{ SMALL: expect.stringMatching(/exceeded/) }, {}])
  })

  test('does not try again what is larger than the stream takes', async () => {
    const { streams } = await jetstreamManager(connection)
    await streams.add({ name: 'TINY', subjects: ['tiny.*'], max_msg_size: 100 })
    expect(await storage.store('TINY', message('tiny.a', 'x'.repeat(200)))).toBe('too-large')
    expect(changes).toEqual([])
  })
})
