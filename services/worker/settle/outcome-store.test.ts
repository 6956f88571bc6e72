import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Turns } from '../../../shared/runtime/turns.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord } from '../../../shared/sdk/contract/ledger.ts'
import { deadLetterMessage } from '../../../shared/sdk/contract/outcome.ts'
import { outcomeDigest } from '../../../shared/sdk/contract/outcome-digest.ts'
import { failureNotice } from '../../../shared/sdk/contract/register-message.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { lastOfSubject, requestApi } from '../../../shared/sdk/jetstream/api.ts'
import { type OnReply, PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'
import { startTestBroker, type TestBroker } from '../../../test/kit/broker.ts'
import { type DeliveredEvent, deliveryOf, EPOCH } from '../../../test/kit/deliveries.ts'
import { readStream, type StoredRecord } from '../../../test/kit/outcomes.ts'
import { type Delivery, digestOf } from '../intake/delivery.ts'
import type { Concluded, Plain, Predicted } from './outcome.ts'
import { OutcomeStore, type OutcomeStoreDeps, type Stored, type StoredOutcome } from './outcome-store.ts'
import { PatientStorage } from './storage.ts'

const NOW = Date.parse('2026-06-01T12:00:00Z')
let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow
let told: string[]

beforeAll(async () => {
  broker = await startTestBroker()
})
afterAll(() => broker.stop())

beforeEach(async () => {
  told = []
  await broker.provision()
  connection = await broker.connect()
  window = new PublishWindow(connection)
})

afterEach(async () => {
  window.close()
  for (const name of [STREAMS.results, STREAMS.deadLetters, STREAMS.ledger, STREAMS.retries])
    await connection.request(`$JS.API.STREAM.DELETE.${name}`)
  await connection.close()
})

let refusing: ReadonlyMap<string, string>

function openStore(given: Partial<OutcomeStoreDeps> = {}): OutcomeStore {
  refusing = new Map()
  const onChange = (streams: ReadonlyMap<string, string>): void => {
    refusing = streams
  }
  const options = { signal: new AbortController().signal, onChange }
  return new OutcomeStore({
    connection,
    window,
    storage: new PatientStorage({ connection, window }, options),
    worker: 'w1',
    pool: 'default',
    now: () => NOW,
    parking: { place: async () => 'parked' },
    mayRetry: () => true,
    isKept: () => true,
    turns: new Turns(),
    onJunk: ({ event }, sequence) => void told.push(`junk ${event.id} ${sequence}`),
    onConflict: ({ event }) => void told.push(`conflict ${event.id}`),
    onUnstorable: ({ event }) => void told.push(`unstorable ${event.id}`),
    ...given,
  })
}

async function howOf(store: OutcomeStore, concluded: Concluded): Promise<Stored> {
  return (await store.store(concluded)).how
}

function eventOf(given: Partial<DeliveredEvent> = {}): Delivery {
  return deliveryOf({ model: 'm', id: 'a', body: '{"inputs":[]}', ...given })
}

function predicted(delivery: Delivery, body = 'outputs'): Concluded {
  const facts = {
    modelVersion: '3',
    contentType: 'application/json',
    inferenceHeaderLength: undefined,
    queueMs: 1,
    inferenceMs: 2,
    batchRows: 4,
  }
  return { delivery, outcome: { kind: 'predicted', facts, body: Buffer.from(body) } }
}

const FAILURE = { reason: 'inference-failed', description: 'it failed', stage: 'infer' } as const

function failed(delivery: Delivery): Concluded {
  return { delivery, outcome: { kind: 'dead-lettered', failure: FAILURE, modelVersion: '3' } }
}

function again(delivery: Delivery): Concluded {
  return { delivery, outcome: { kind: 'retried', failure: FAILURE, dueAt: Date.now() + 3_600_000 } }
}

/** What a stream holds, each as the last part of its subject and the header asked for. */
async function kept(stream: string, header: string): Promise<(string | undefined)[]> {
  return (await readStream(connection, stream)).map(({ headers }) => readHeader(headers, header))
}

async function theOnly(stream: string): Promise<StoredRecord> {
  const records = await readStream(connection, stream)
  expect(records).toHaveLength(1)
  return records[0] as StoredRecord
}

/** How a worker that came before made an outcome of a delivery. */
const madeBefore = (delivery: Delivery) => ({
  worker: 'w0',
  at: NOW - 5_000,
  deliveryCount: 1,
  storedAt: 0,
  inputDigest: digestOf(delivery),
})
const text = ({ body }: { readonly body: Uint8Array }): string => Buffer.from(body).toString()

describe('a prediction', () => {
  it('is stored in the register of its event, with who made it of what', async () => {
    const delivery = eventOf({ deliveryCount: 2 })
    expect(await howOf(openStore(), predicted(delivery))).toBe('predicted')
    const record = await theOnly(STREAMS.results)
    expect(record.subject).toBe(`results.m.${delivery.event.token}`)
    expect(text(record)).toBe('outputs')
    expect(Object.fromEntries(record.headers)).toMatchObject({
      'pelton-outcome': 'prediction',
      'pelton-worker': 'w1',
      'pelton-model-version': '3',
      'pelton-input-digest': digestOf(delivery),
      'pelton-origin': `FEATURES ${EPOCH} ${delivery.info.streamSequence}`,
      'pelton-batch-rows': '4',
      'ce-time': new Date(NOW).toISOString(),
    })
  })

  it('stands: a second outcome of the event is refused, whichever it is', async () => {
    const store = openStore()
    await store.store(predicted(eventOf(), 'first'))
    expect(await howOf(store, predicted(eventOf(), 'second'))).toBe('already-answered')
    expect(await howOf(store, failed(eventOf()))).toBe('already-answered')
    expect(text(await theOnly(STREAMS.results))).toBe('first')
    expect(await readStream(connection, STREAMS.deadLetters)).toEqual([])
    expect(told).toEqual([])
  })

  it('is one of many that workers store at the same time for the same event', async () => {
    const answers = Array.from({ length: 10 }, (_each, worker) =>
      openStore({ worker: `w${worker}` }).store(predicted(eventOf(), `by ${worker}`)),
    )
    const counts = (await Promise.all(answers)).filter(({ how }) => how === 'predicted')
    expect(counts).toHaveLength(1)
    await theOnly(STREAMS.results)
  })

  it('is stored together with others, and each ends as it would alone', async () => {
    const answered = eventOf({ id: 'answered' })
    await openStore({ worker: 'w0' }).store(predicted(answered, 'of before'))
    await openStore({ worker: 'w0' }).store(predicted(eventOf({ id: 'conflict', body: 'other' })))
    const late = eventOf({ id: 'late' })
    const store = openStore({ isKept: (delivery) => delivery !== late })
    const group = [
      ...[1, 2, 3].map((index) => eventOf({ id: `plain ${index}` })),
      ...[answered, eventOf({ id: 'conflict' }), late, eventOf({ id: 'plain 4' })],
    ].map((delivery) => predicted(delivery, delivery.event.id) as Predicted)
    const how: Stored[] = []
    const digests: (number | undefined)[] = []
    await store.storeAll(group, (at, stored) => {
      how[at] = stored.how
      digests[at] = stored.digest
    })
    const plain = 'predicted'
    expect(how).toEqual([plain, plain, plain, 'already-answered', 'already-answered', 'dropped', plain])
    expect(told).toEqual(['conflict conflict'])
    const records = await readStream(connection, STREAMS.results)
    expect(records).toHaveLength(6)
    for (const [at, { delivery }] of group.entries()) {
      const own = await lastOfSubject(connection, STREAMS.results, `results.m.${delivery.event.token}`)
      expect(own && outcomeDigest(own.headerBlock, own.body)).toBe(digests[at])
    }
  })

  it('that is stored together with others ends nothing but itself when it is stopped', async () => {
    const stop = new AbortController()
    const options = { signal: stop.signal, onChange: () => stop.abort() }
    const silent = new PublishWindow(connection, { timeoutMs: 60_000 })
    // Two are refused, and one is never answered: the refused end before anybody waits for them.
    const window = {
      publish: (message: Parameters<PublishWindow['publish']>[0]) => silent.publish(message),
      publishAll: async (messages: readonly unknown[], { onReply }: { readonly onReply: OnReply }) => {
        const refused = { kind: 'refused', code: 10_077, status: 503, description: 'no' } as const
        for (let at = 1; at < messages.length; at++) onReply(at, refused)
        setTimeout(() => onReply(0, { kind: 'stored', sequence: 1, duplicate: false }), 200)
      },
    } as unknown as PublishWindow
    const store = openStore({ window, storage: new PatientStorage({ connection, window: silent }, options) })
    const group = [1, 2, 3].map((index) => predicted(eventOf({ id: `e${index}` })) as Predicted)
    await expect(store.storeAll(group, () => undefined)).rejects.toThrow('aborted')
    silent.close()
  })

  it('is stored together with others as often as the stream refuses, until it takes them', async () => {
    await requestApi(connection, `STREAM.DELETE.${STREAMS.results}`)
    const store = openStore()
    const group = [1, 2, 3].map((index) => predicted(eventOf({ id: `e${index}` })) as Predicted)
    const how: Stored[] = []
    const storing = store.storeAll(group, (at, stored) => {
      how[at] = stored.how
    })
    await expect.poll(() => refusing.size).toBe(1)
    expect(how).toEqual([])
    await broker.provision()
    await storing
    expect(how).toEqual(['predicted', 'predicted', 'predicted'])
    expect(await readStream(connection, STREAMS.results)).toHaveLength(3)
  })

  it('is told of once, whatever comes in the way of another that is stored with it', async () => {
    await openStore().store(predicted(eventOf({ id: 'e0', body: '{"inputs": []}' })))
    const narrow = new PublishWindow(connection, { maxInFlight: 1 })
    const onConflict = (): never => {
      throw new Error('a defect')
    }
    const store = openStore({ window: narrow, onConflict })
    // In several slices, and long on its way: the first of them has failed while the others are still sent.
    const group = Array.from({ length: 100 }, (_, index) => {
      const delivery = eventOf({ id: `e${index}` })
      return predicted(delivery, 'x'.repeat(20_000)) as Predicted
    })
    const times = new Map<number, number>()
    const storing = store.storeAll(group, (at) => void times.set(at, (times.get(at) ?? 0) + 1))
    await expect(storing).rejects.toThrow('a defect')
    expect([...times.keys()].sort((a, b) => a - b)).toEqual(group.slice(1).map((_, at) => at + 1))
    expect(new Set(times.values())).toEqual(new Set([1]))
    narrow.close()
  })

  it('waits no longer for the stream once it is stopped, and nothing escapes of those stored with it', async () => {
    const stop = new AbortController()
    const silent = new PublishWindow(connection, { maxInFlight: 1, timeoutMs: 100 })
    await requestApi(connection, `STREAM.DELETE.${STREAMS.results}`)
    const storage = new PatientStorage(
      { connection, window: silent },
      { signal: stop.signal, onChange: () => stop.abort() },
    )
    // Who takes the claims and says nothing of them.
    connection.subscribe('results.m.*', { callback: () => undefined })
    const group = Array.from(
      { length: 6 },
      (_, index) => predicted(eventOf({ id: `e${index}` })) as Predicted,
    )
    const store = openStore({ window: silent, storage })
    await expect(store.storeAll(group, () => undefined)).rejects.toThrow(/abort/i)
    silent.close()
  })

  it('is sent in slices of no more than a turn of the loop may send', async () => {
    const pieces: number[] = []
    const turns = new Turns()
    const take = turns.take.bind(turns)
    turns.take = (bytes) => {
      pieces.push(bytes)
      return take(bytes)
    }
    const body = 'x'.repeat(20_000)
    const group = [1, 2, 3, 4, 5, 6, 7].map(
      (index) => predicted(eventOf({ id: `e${index}` }), body) as Predicted,
    )
    let stored = 0
    await openStore({ turns }).storeAll(group, () => {
      stored++
    })
    expect(stored).toBe(7)
    expect(Math.max(...pieces)).toBe(60_000)
  })

  it('tells of an identity that was used with another payload', async () => {
    const store = openStore()
    await store.store(predicted(eventOf()))
    expect(await howOf(store, predicted(eventOf({ body: '{"inputs": []}' })))).toBe('already-answered')
    expect(told).toEqual(['conflict a'])
  })

  it('becomes a dead letter where it is larger than the broker takes', async () => {
    const large = 'x'.repeat(2 * 1024 ** 2)
    expect(await howOf(openStore(), predicted(eventOf(), large))).toBe('dead-lettered')
    expect(await kept(STREAMS.results, HEADERS.deadLetterReason)).toEqual(['too-large'])
    expect(await kept(STREAMS.deadLetters, HEADERS.stage)).toEqual(['publish'])
  })

  it('reaches whoever waits for it, when it is stored and each time it is asked for again', async () => {
    const heard: string[] = []
    const inbox = '_INBOX.waits.1'
    connection.subscribe(inbox, { callback: (_error, message) => void heard.push(message.string()) })
    const store = openStore()
    const delivery = eventOf({ headers: { [HEADERS.replyTo]: inbox } })
    await store.store(predicted(delivery, 'first'))
    await store.store(predicted(delivery, 'second'))
    await expect.poll(() => heard).toEqual(['first', 'first'])
  })
})

describe('a dead letter', () => {
  it('is the whole event and why, behind a notice in the register', async () => {
    const delivery = eventOf()
    expect(await howOf(openStore(), failed(delivery))).toBe('dead-lettered')
    const notice = await theOnly(STREAMS.results)
    expect(readHeader(notice.headers, HEADERS.outcome)).toBe('dead-letter')
    const letter = await theOnly(STREAMS.deadLetters)
    expect(letter.subject).toBe(`deadletters.m.${delivery.event.token}`)
    expect(text(letter)).toBe('{"inputs":[]}')
    expect(readHeader(letter.headers, HEADERS.deadLetterReason)).toBe('inference-failed')
    expect(readHeader(letter.headers, HEADERS.failedAt)).toBe(readHeader(notice.headers, HEADERS.time))
  })

  it('is stored together with others, predictions among them, and each ends as it would alone', async () => {
    await openStore({ worker: 'w0' }).store(predicted(eventOf({ id: 'answered' }), 'of before'))
    const late = eventOf({ id: 'late' })
    const store = openStore({ isKept: (delivery) => delivery !== late })
    const group = [
      failed(eventOf({ id: 'one' })),
      predicted(eventOf({ id: 'two' })),
      failed(eventOf({ id: 'answered' })),
      failed(late),
      failed(eventOf({ id: 'three' })),
    ] as Plain[]
    const stored: StoredOutcome[] = []
    await store.storeAll(group, (at, one) => {
      stored[at] = one
    })
    const dead = 'dead-lettered'
    expect(stored.map(({ how }) => how)).toEqual([dead, 'predicted', 'already-answered', 'dropped', dead])
    const letters = await readStream(connection, STREAMS.deadLetters)
    expect(letters.map(({ headers }) => readHeader(headers, HEADERS.id))).toEqual(['one', 'three'])
    for (const at of [0, 4]) {
      const { token } = (group[at] as Plain).delivery.event
      const notice = await lastOfSubject(connection, STREAMS.results, `results.m.${token}`)
      const letter = await lastOfSubject(connection, STREAMS.deadLetters, `deadletters.m.${token}`)
      expect(notice && outcomeDigest(notice.headerBlock, notice.body)).toBe(stored[at]?.digest)
      expect(letter && outcomeDigest(letter.headerBlock, letter.body)).toBe(stored[at]?.letterDigest)
      expect(letter && text(letter)).toBe('{"inputs":[]}')
      expect(letter && readHeader(parseHeaderBlock(letter.headerBlock), HEADERS.failedAt)).toBe(
        notice && readHeader(parseHeaderBlock(notice.headerBlock), HEADERS.time),
      )
    }
  })

  it('follows its notice as soon as DEADLETTERS takes it, where it is stored together with others', async () => {
    await requestApi(connection, `STREAM.DELETE.${STREAMS.deadLetters}`)
    const group = [
      failed(eventOf({ id: 'a' })),
      predicted(eventOf({ id: 'b' })),
      failed(eventOf({ id: 'c' })),
    ]
    const how: Stored[] = []
    const storing = openStore().storeAll(group as Plain[], (at, one) => {
      how[at] = one.how
    })
    await expect.poll(() => [...refusing.keys()]).toEqual([STREAMS.deadLetters])
    expect(how.filter((one) => one !== undefined)).toEqual(['predicted'])
    await broker.provision()
    await storing
    expect(how).toEqual(['dead-lettered', 'predicted', 'dead-lettered'])
    expect(await readStream(connection, STREAMS.deadLetters)).toHaveLength(2)
  })

  it('is waited for, whatever comes in the way of another event that is stored with it', async () => {
    await openStore().store(predicted(eventOf({ id: 'a', body: '{"inputs": []}' })))
    await requestApi(connection, `STREAM.DELETE.${STREAMS.deadLetters}`)
    const onConflict = (): never => {
      told.push('conflict')
      throw new Error('a defect')
    }
    const group = [predicted(eventOf({ id: 'a' })), failed(eventOf({ id: 'b' }))]
    const storing = openStore({ onConflict })
      .storeAll(group as Plain[], (at, { how }) => void told.push(`${at} ${how}`))
      .catch((thrown: Error) => void told.push(thrown.message))
    await expect.poll(() => [...refusing.keys()]).toEqual([STREAMS.deadLetters])
    await expect.poll(() => told).toEqual(['conflict'])
    await broker.provision()
    await storing
    expect(told).toEqual(['conflict', '1 dead-lettered', 'a defect'])
  })

  it('is made up for where a worker ended between the notice and the letter', async () => {
    const delivery = eventOf()
    const made = madeBefore(delivery)
    await window.publish(failureNotice(delivery.event, FAILURE, made))
    expect(await howOf(openStore(), predicted(eventOf({ deliveryCount: 2 })))).toBe('already-answered')
    const letter = await theOnly(STREAMS.deadLetters)
    expect(readHeader(letter.headers, HEADERS.failedAt)).toBe(new Date(NOW - 5_000).toISOString())
    expect(readHeader(letter.headers, HEADERS.deadLetterReason)).toBe('inference-failed')
  })

  it('is not made twice where it is there', async () => {
    const delivery = eventOf()
    const made = madeBefore(delivery)
    await window.publish(failureNotice(delivery.event, FAILURE, made))
    await window.publish(deadLetterMessage(delivery.event, delivery.subject, FAILURE, made))
    expect(await howOf(openStore(), failed(eventOf()))).toBe('already-answered')
    expect((await theOnly(STREAMS.deadLetters)).sequence).toBe(1)
  })

  it('is replaced by the outcome of its replay, and only by one that names its notice', async () => {
    const store = openStore()
    await store.store(failed(eventOf()))
    const { sequence } = await theOnly(STREAMS.results)
    const replayOf = (supersedes: number): Delivery =>
      eventOf({ headers: { [HEADERS.supersedes]: String(supersedes) } })
    expect(await howOf(store, predicted(replayOf(sequence + 7)))).toBe('already-answered')
    expect(await howOf(store, predicted(replayOf(sequence), 'at last'))).toBe('predicted')
    expect(await howOf(store, failed(replayOf(sequence)))).toBe('already-answered')
    const answers = await readStream(connection, STREAMS.results)
    expect(answers.map(text).at(-1)).toBe('at last')
  })
})

describe('another attempt', () => {
  it('is a scheduled copy in the retry lane, and no outcome', async () => {
    const delivery = eventOf({ lane: 'high' })
    expect(await howOf(openStore(), again(delivery))).toBe('retried')
    const { token } = delivery.event
    const copy = await lastOfSubject(connection, STREAMS.retries, `retries.default.m.high.${token}`)
    const copied = parseHeaderBlock(copy?.headerBlock ?? new Uint8Array())
    expect(Buffer.from(copy?.body ?? []).toString()).toBe('{"inputs":[]}')
    expect(readHeader(copied, HEADERS.attempt)).toBe('2')
    expect(readHeader(copied, HEADERS.scheduleTarget)).toBe(`due.default.m.high.${token}`)
    expect(await readStream(connection, STREAMS.results)).toEqual([])
  })

  it('is left to the broker without a retry to spend, until the event was handed out often enough', async () => {
    const store = openStore({ mayRetry: () => false })
    const hows = []
    for (let deliveryCount = 1; deliveryCount <= 5; deliveryCount++)
      hows.push(await howOf(store, again(eventOf({ deliveryCount }))))
    expect(hows).toEqual(['returned', 'returned', 'returned', 'returned', 'dead-lettered'])
    expect(await readStream(connection, STREAMS.retries)).toEqual([])
    expect(await kept(STREAMS.deadLetters, HEADERS.deadLetterReason)).toEqual(['inference-failed'])
  })

  it('spends a retry of its own event only', async () => {
    const asked: string[] = []
    const mayRetry = ({ event }: Delivery): boolean => asked.push(event.id) > 0
    const store = openStore({ mayRetry })
    const outcomes: ((delivery: Delivery) => Concluded)[] = [predicted, failed, again]
    for (const [index, conclude] of outcomes.entries())
      await store.store(conclude(eventOf({ id: `${index}` })))
    expect(asked).toEqual(['2'])
  })
})

describe('the digest', () => {
  async function digestIn(stream: string): Promise<number> {
    const { subject } = await theOnly(stream)
    const copy = await lastOfSubject(connection, stream, subject)
    return outcomeDigest(copy?.headerBlock ?? Buffer.alloc(0), copy?.body ?? Buffer.alloc(0))
  }

  it('of a prediction is that of the message the broker holds, and what answers a second time is what was read', async () => {
    const store = openStore()
    const first = await store.store(predicted(eventOf()))
    expect(first).toEqual({ how: 'predicted', digest: await digestIn(STREAMS.results) })
    const second = await openStore({ worker: 'w2' }).store(predicted(eventOf(), 'other'))
    expect(second).toEqual({ how: 'already-answered', digest: first.digest })
  })

  it('of a large prediction is made over several turns, and is the same', async () => {
    const begun: number[] = []
    const turns = { spend: async (bytes: number) => void begun.push(bytes) } as unknown as Turns
    const { digest } = await openStore({ turns }).store(predicted(eventOf(), 'x'.repeat(200_000)))
    expect(digest).toBe(await digestIn(STREAMS.results))
    expect(begun).toEqual([65_536, 65_536, 65_536, 200_000 - 3 * 65_536])
  })

  it('of an event that is given up are those of its notice and its dead letter, also of one made before', async () => {
    const store = openStore()
    const stored = await store.store(failed(eventOf()))
    const both = {
      digest: await digestIn(STREAMS.results),
      letterDigest: await digestIn(STREAMS.deadLetters),
    }
    expect(stored).toEqual({ how: 'dead-lettered', ...both })
    expect(await store.store(failed(eventOf()))).toEqual({ how: 'already-answered', ...both })
  })

  it('of an event whose dead letter is made up for is that of the one made up', async () => {
    const delivery = eventOf()
    await window.publish(failureNotice(delivery.event, FAILURE, madeBefore(delivery)))
    expect(await openStore().store(predicted(eventOf()))).toEqual({
      how: 'already-answered',
      digest: await digestIn(STREAMS.results),
      letterDigest: await digestIn(STREAMS.deadLetters),
    })
  })

  it('of a copy in the retry lane is what the digest of its input begins with', async () => {
    const delivery = eventOf()
    const digest = Buffer.from(digestOf(delivery), 'base64url').readUInt32BE(0)
    expect(await openStore().store(again(delivery))).toEqual({ how: 'retried', digest })
    const parked = {
      delivery,
      outcome: { kind: 'not-servable', why: { cause: 'missing', text: '' } },
    } as const
    expect(await openStore().store(parked)).toEqual({ how: 'parked', digest })
    const kept = openStore({ parking: { place: async () => 'held-back' } })
    expect(await kept.store(parked)).toEqual({ how: 'held-back' })
  })
})

describe('what is no outcome', () => {
  const { subject, token } = { subject: `results.m.${eventOf().event.token}`, token: eventOf().event.token }
  const put = async (headers: readonly (readonly [string, string])[]): Promise<void> => {
    const reply = await window.publish({ subject, headers, body: Buffer.from('?') })
    expect(reply.kind).toBe('stored')
  }

  it.each([
    ['without headers', []],
    ['with an outcome nobody knows', [[HEADERS.outcome, 'maybe']]],
    ['of this contract that cannot be read', [[HEADERS.outcome, 'prediction'] as const]],
    [
      'of another event',
      [[HEADERS.outcome, 'prediction'] as const, [HEADERS.token, 'x'.repeat(22)] as const],
    ],
  ] as const)('and lies in the register %s, is answered over', async (_what, headers) => {
    await put(headers)
    expect(await howOf(openStore(), predicted(eventOf(), 'true'))).toBe('predicted')
    const texts = (await readStream(connection, STREAMS.results)).map(text)
    expect(texts).toEqual(['?', 'true'])
    expect(told).toEqual(['junk a 1'])
    expect(await howOf(openStore(), predicted(eventOf(), 'again'))).toBe('already-answered')
  })

  it('is answered over by a dead letter, where the event has no prediction', async () => {
    await put([])
    expect(await howOf(openStore(), failed(eventOf()))).toBe('dead-lettered')
    expect(await kept(STREAMS.results, HEADERS.outcome)).toEqual([undefined, 'dead-letter'])
    await theOnly(STREAMS.deadLetters)
  })

  it('hides no outcome below it', async () => {
    const store = openStore()
    const { digest } = await store.store(predicted(eventOf(), 'true'))
    for (let each = 0; each < 3; each++) await put([[HEADERS.token, token]])
    expect(await store.store(predicted(eventOf(), 'second'))).toEqual({ how: 'already-answered', digest })
    expect(await readStream(connection, STREAMS.results)).toHaveLength(4)
  })

  it('above a notice is replaced by the outcome of its replay, and by none other', async () => {
    const store = openStore()
    await store.store(failed(eventOf()))
    await put([])
    const replayOf = (supersedes: number): Delivery =>
      eventOf({ headers: { [HEADERS.supersedes]: String(supersedes) } })
    expect(await howOf(store, predicted(replayOf(2)))).toBe('already-answered')
    expect(await howOf(store, predicted(eventOf()))).toBe('already-answered')
    expect(await howOf(store, predicted(replayOf(1)))).toBe('predicted')
  })

  it('is looked past by many workers at once, and answered over by one', async () => {
    await put([])
    const hows = await Promise.all(
      Array.from({ length: 8 }, (_each, worker) =>
        howOf(openStore({ worker: `w${worker}` }), predicted(eventOf())),
      ),
    )
    expect(hows.filter((how) => how === 'predicted')).toHaveLength(1)
    expect(await readStream(connection, STREAMS.results)).toHaveLength(2)
  })

  it('but an outcome of a newer major is left alone: the stream refuses until it is gone', async () => {
    await put([[HEADERS.contract, '2.0']])
    const storing = howOf(openStore(), predicted(eventOf()))
    await expect.poll(() => refusing.get(STREAMS.results)).toMatch(/holds an outcome of version 2\.0/)
    expect((await theOnly(STREAMS.results)).sequence).toBe(1)
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.results}`, { seq: 1 })
    expect(await storing).toBe('predicted')
    expect(refusing.size).toBe(0)
  })

  it('but an outcome of a newer major is left alone also where junk lies above it', async () => {
    await put([[HEADERS.contract, '2.0']])
    await put([])
    const storing = howOf(openStore(), predicted(eventOf()))
    await expect.poll(() => refusing.get(STREAMS.results)).toMatch(/version 2\.0/)
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.results}`, { seq: 1 })
    expect(await storing).toBe('predicted')
  })
})

describe('a delivery that others may have', () => {
  /** Says of the first looks that it is kept, and then no more. */
  const keptFor = (looks: number) => {
    let left = looks
    return () => left-- > 0
  }

  it.each([0, 1])('is dropped: nothing is tried, found out at look %i', async (looks) => {
    const tried: string[] = []
    connection.subscribe('results.>', { callback: (_error, { subject }) => void tried.push(subject) })
    await connection.flush()
    const ends = [predicted, failed].map((conclude) =>
      howOf(openStore({ isKept: keptFor(looks) }), conclude(eventOf())),
    )
    expect(await Promise.all(ends)).toEqual(['dropped', 'dropped'])
    await connection.flush()
    expect(tried).toEqual([])
  })

  it('makes no copy in the retry lane', async () => {
    expect(await howOf(openStore({ isKept: () => false }), again(eventOf()))).toBe('dropped')
    expect(await readStream(connection, STREAMS.retries)).toEqual([])
  })

  it('is not claimed for once the stream takes it again', async () => {
    await requestApi(connection, `STREAM.DELETE.${STREAMS.results}`)
    let isKept = true
    const storing = howOf(openStore({ isKept: () => isKept }), predicted(eventOf()))
    await expect.poll(() => refusing.has(STREAMS.results)).toBe(true)
    isKept = false
    await broker.provision()
    expect(await storing).toBe('dropped')
    expect(await readStream(connection, STREAMS.results)).toEqual([])
  })
})

describe('record', () => {
  it('names in the ledger how the deliveries of a stream ended, and by whom', async () => {
    const entries = [
      { sequence: 4, outcome: 'predicted' as const },
      { sequence: 9, outcome: 'dead-lettered' as const, token: eventOf().event.token },
    ]
    await openStore().record({ stream: STREAMS.features, epoch: EPOCH, entries })
    const record = await theOnly(STREAMS.ledger)
    expect(record.subject).toBe('ledger.default')
    expect(decodeLedgerRecord(record.body)).toEqual({
      stream: STREAMS.features,
      epoch: EPOCH,
      by: 'w1',
      entries,
    })
  })
})
