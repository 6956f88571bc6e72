import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord } from '../../../shared/sdk/contract/ledger.ts'
import { deadLetterMessage, failureNotice } from '../../../shared/sdk/contract/outcome.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { lastOfSubject } from '../../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'
import { startTestBroker, type TestBroker } from '../../../test/kit/broker.ts'
import { type DeliveredEvent, deliveryOf, EPOCH } from '../../../test/kit/deliveries.ts'
import { readStream, type StoredRecord } from '../../../test/kit/outcomes.ts'
import { type Delivery, digestOf } from '../intake/delivery.ts'
import type { Concluded } from './outcome.ts'
import { OutcomeStore, type OutcomeStoreDeps } from './outcome-store.ts'
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

function openStore(given: Partial<OutcomeStoreDeps> = {}): OutcomeStore {
  const options = { signal: new AbortController().signal, onChange: () => undefined }
  return new OutcomeStore({
    connection,
    window,
    storage: new PatientStorage({ connection, window }, options),
    worker: 'w1',
    pool: 'default',
    now: () => NOW,
    parking: { place: async () => 'parked' },
    mayRetry: () => true,
    onConflict: ({ event }) => void told.push(`conflict ${event.id}`),
    onUnstorable: ({ event }) => void told.push(`unstorable ${event.id}`),
    ...given,
  })
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
    expect(await openStore().store(predicted(delivery))).toBe('predicted')
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
    expect(await store.store(predicted(eventOf(), 'second'))).toBe('already-answered')
    expect(await store.store(failed(eventOf()))).toBe('already-answered')
    expect(text(await theOnly(STREAMS.results))).toBe('first')
    expect(await readStream(connection, STREAMS.deadLetters)).toEqual([])
    expect(told).toEqual([])
  })

  it('is one of many that workers store at the same time for the same event', async () => {
    const answers = Array.from({ length: 10 }, (_each, worker) =>
      openStore({ worker: `w${worker}` }).store(predicted(eventOf(), `by ${worker}`)),
    )
    const counts = (await Promise.all(answers)).filter((how) => how === 'predicted')
    expect(counts).toHaveLength(1)
    await theOnly(STREAMS.results)
  })

  it('tells of an identity that was used with another payload', async () => {
    const store = openStore()
    await store.store(predicted(eventOf()))
    expect(await store.store(predicted(eventOf({ body: '{"inputs": []}' })))).toBe('already-answered')
    expect(told).toEqual(['conflict a'])
  })

  it('becomes a dead letter where it is larger than the broker takes', async () => {
    const large = 'x'.repeat(2 * 1024 ** 2)
    expect(await openStore().store(predicted(eventOf(), large))).toBe('dead-lettered')
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
    expect(await openStore().store(failed(delivery))).toBe('dead-lettered')
    const notice = await theOnly(STREAMS.results)
    expect(readHeader(notice.headers, HEADERS.outcome)).toBe('dead-letter')
    const letter = await theOnly(STREAMS.deadLetters)
    expect(letter.subject).toBe(`deadletters.m.${delivery.event.token}`)
    expect(text(letter)).toBe('{"inputs":[]}')
    expect(readHeader(letter.headers, HEADERS.deadLetterReason)).toBe('inference-failed')
    expect(readHeader(letter.headers, HEADERS.failedAt)).toBe(readHeader(notice.headers, HEADERS.time))
  })

  it('is made up for where a worker ended between the notice and the letter', async () => {
    const delivery = eventOf()
    const made = madeBefore(delivery)
    await window.publish(failureNotice(delivery.event, FAILURE, made))
    expect(await openStore().store(predicted(eventOf({ deliveryCount: 2 })))).toBe('already-answered')
    const letter = await theOnly(STREAMS.deadLetters)
    expect(readHeader(letter.headers, HEADERS.failedAt)).toBe(new Date(NOW - 5_000).toISOString())
    expect(readHeader(letter.headers, HEADERS.deadLetterReason)).toBe('inference-failed')
  })

  it('is not made twice where it is there', async () => {
    const delivery = eventOf()
    const made = madeBefore(delivery)
    await window.publish(failureNotice(delivery.event, FAILURE, made))
    await window.publish(deadLetterMessage(delivery.event, delivery.subject, FAILURE, made))
    expect(await openStore().store(failed(eventOf()))).toBe('already-answered')
    expect((await theOnly(STREAMS.deadLetters)).sequence).toBe(1)
  })

  it('is replaced by the outcome of its replay, and only by one that names its notice', async () => {
    const store = openStore()
    await store.store(failed(eventOf()))
    const { sequence } = await theOnly(STREAMS.results)
    const replayOf = (supersedes: number): Delivery =>
      eventOf({ headers: { [HEADERS.supersedes]: String(supersedes) } })
    expect(await store.store(predicted(replayOf(sequence + 7)))).toBe('already-answered')
    expect(await store.store(predicted(replayOf(sequence), 'at last'))).toBe('predicted')
    expect(await store.store(failed(replayOf(sequence)))).toBe('already-answered')
    const answers = await readStream(connection, STREAMS.results)
    expect(answers.map(text).at(-1)).toBe('at last')
  })
})

describe('another attempt', () => {
  it('is a scheduled copy in the retry lane, and no outcome', async () => {
    const delivery = eventOf({ lane: 'high' })
    expect(await openStore().store(again(delivery))).toBe('retried')
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
      hows.push(await store.store(again(eventOf({ deliveryCount }))))
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
