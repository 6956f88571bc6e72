import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { encodeHeaderBlock, HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord, type LedgerEntry } from '../../shared/sdk/contract/ledger.ts'
import { outcomeDigest } from '../../shared/sdk/contract/outcome-digest.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { waitFor } from '../../shared/sdk/index.ts'
import { consumerInfo, lastOfSubject, nextOfSubject, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { encodedHeaders } from '../../shared/sdk/jetstream/encoded-headers.ts'
import { followResults } from '../kit/follow-results.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readStream } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline, SOURCE } from '../kit/pipeline.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { eventually, PATIENT } from '../kit/wait.ts'
import { addressOf } from '../kit/worker-process.ts'

const MODEL = 'identity-fp32'
const BODY = { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] }] }

let pipeline: Pipeline
let connection: NatsConnection
let folder: Awaited<ReturnType<typeof modelsFolder>>

beforeEach(async () => {
  folder = await modelsFolder([MODEL])
  pipeline = await openPipeline({ models: folder.path })
  connection = pipeline.connection
})

afterEach(async () => {
  await pipeline.close()
  await folder.remove()
})

const tokenOf = (id: string): string => eventToken(MODEL, SOURCE, id)
const registerOf = (id: string): string => subjects.result(MODEL, tokenOf(id))
const publish = (id: string): Promise<string> => pipeline.publish({ model: MODEL, id, body: BODY })

/** Stores in a register what no worker of this version writes. */
async function put(id: string, given: Readonly<Record<string, string>>): Promise<void> {
  const headers = encodedHeaders(encodeHeaderBlock(Object.entries(given)))
  const reply = await connection.request(registerOf(id), 'junk', { headers, timeout: 20_000 })
  expect(reply.json()).toMatchObject({ stream: STREAMS.results })
}

/** What lies in a register, in order: outcome header and body. */
async function inRegister(id: string): Promise<(string | undefined)[]> {
  const records = await readStream(connection, STREAMS.results)
  return records
    .filter(({ subject }) => subject === registerOf(id))
    .map(({ headers }) => readHeader(headers, HEADERS.outcome))
}

async function ledgerEntries(): Promise<LedgerEntry[]> {
  const records = await readStream(connection, STREAMS.ledger)
  return records.flatMap(({ body }) => [...decodeLedgerRecord(body).entries])
}

const untilSettled = (count: number): Promise<unknown> =>
  eventually('the ledger to name all', async () => (await ledgerEntries()).length >= count)

describe('junk in a register', () => {
  test.each([
    ['that does not say what it is', {}],
    ['that says what nobody knows', { [HEADERS.outcome]: 'maybe', [HEADERS.contract]: '1.0' }],
    ['that cannot be read', { [HEADERS.outcome]: 'prediction', [HEADERS.contract]: '1.0' }],
  ])('%s, and lies there before its event, is answered over', async (_what, headers) => {
    await put('a', headers)
    await pipeline.startWorker()
    await publish('a')
    await untilSettled(1)
    expect((await inRegister('a')).at(-1)).toBe('prediction')
    expect(await inRegister('a')).toHaveLength(2)
    expect((await ledgerEntries()).map(({ outcome }) => outcome)).toEqual(['predicted'])
  })

  test('is answered over by a dead letter where its event has no prediction', async () => {
    await put('a', {})
    await pipeline.startWorker()
    await pipeline.publish({ model: MODEL, id: 'a', body: '{}' })
    await untilSettled(1)
    expect(await inRegister('a')).toEqual([undefined, 'dead-letter'])
    expect(await pipeline.countIn(STREAMS.deadLetters)).toBe(1)
  })

  test('above a good prediction does not make its event be answered twice', async () => {
    const worker = await pipeline.startWorker()
    await publish('a')
    await untilSettled(1)
    await put('a', {})
    await publish('a') // once more: without a Nats-Msg-Id the broker takes it
    await untilSettled(2)
    expect(await inRegister('a')).toEqual(['prediction', undefined])
    const [first, second] = await ledgerEntries()
    expect([first?.outcome, second?.outcome]).toEqual(['predicted', 'already-answered'])
    expect(second?.digest).toBe(first?.digest)
    worker.kill('SIGTERM')
    expect(await worker.ended).toBe(0)
  })

  test('is told of by the worker, and handed on by nobody', async () => {
    await put('a', { [HEADERS.outcome]: 'prediction' })
    const seen = await followResults({ connection }, ({ body }) => Buffer.from(body).toString())
    const early = waitFor(connection, { model: MODEL, token: tokenOf('a') }, { timeoutMs: 300 })
    await expect(early).rejects.toMatchObject({ code: 'timeout' })
    const waiting = waitFor(connection, { model: MODEL, token: tokenOf('a') })
    const worker = await pipeline.startWorker()
    await publish('a')
    expect((await waiting).kind).toBe('prediction')
    await put('a', {})
    // It hides no outcome from whoever comes later.
    expect((await waitFor(connection, { model: MODEL, token: tokenOf('a') })).kind).toBe('prediction')
    await publish('b')
    await eventually('both results', () => seen.length >= 2, { seen: () => seen })
    expect(seen).not.toContain('junk')
    const told = () => worker.log.filter(({ msg }) => String(msg).includes('no outcome'))
    await vi.waitFor(
      () => expect(told()).toMatchObject([{ eventId: 'a', stream: STREAMS.results, sequence: 1 }]),
      PATIENT,
    )
  })
})

describe('an outcome of a newer major of the contract', () => {
  test('is left alone: the worker says so and stops pulling, and goes on when it is gone', async () => {
    await put('a', { [HEADERS.contract]: '2.0', [HEADERS.outcome]: 'prediction' })
    const worker = await pipeline.startWorker({ PELTON_HTTP_PORT: '0' })
    const address = await addressOf(worker)
    await publish('a')
    const unready = async (): Promise<string | undefined> => {
      const answer = await fetch(`${address}/readyz`)
      return answer.status === 503 ? answer.text() : undefined
    }
    const reasons = await eventually('the worker to be unready', unready)
    expect(reasons).toContain('RESULTS refuses')
    expect(reasons).toContain('version 2.0 of the contract')
    const series = readPrometheus(await (await fetch(`${address}/metrics`)).text())
    expect(series.value('pelton_storage_refusing', { stream_name: STREAMS.results })).toBe(1)
    const told = () => worker.log.filter(({ msg }) => String(msg).startsWith('pulling stops'))
    await vi.waitFor(() => expect(JSON.stringify(told())).toContain('version 2.0 of the contract'), PATIENT)
    await publish('b') // perhaps pulled by a pull that was open, and settled then
    expect(await inRegister('a')).toEqual(['prediction'])
    expect((await ledgerEntries()).map(({ sequence }) => sequence)).not.toContain(1)

    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.results}`, { seq: 1 })
    await untilSettled(2)
    expect((await ledgerEntries()).map(({ outcome }) => outcome)).toEqual(['predicted', 'predicted'])
    await eventually('the worker to be ready', async () => (await fetch(`${address}/readyz`)).status === 200)
  })
})

test('a subscriber acknowledges junk, and leaves an outcome of a newer major for one that speaks it', async () => {
  await put('a', { [HEADERS.contract]: '2.0', [HEADERS.outcome]: 'prediction' })
  await put('b', {})
  const seen = await followResults({ connection, durable: 'd' }, ({ token }) => token)
  await pipeline.startWorker()
  await publish('c')
  await eventually('the result behind them', () => seen.length > 0)
  expect(seen).toEqual([tokenOf('c')])
  const left = await consumerInfo(connection, STREAMS.results, 'sub-d')
  // The newer one, and the result that is in hand.
  expect([left?.num_pending, left?.num_ack_pending, left?.ack_floor?.stream_seq ?? 0]).toEqual([0, 2, 0])
})

test('the ledger tells the digest of each outcome as it lies in its stream', async () => {
  await pipeline.startWorker()
  const large = {
    inputs: [{ name: 'x', shape: [4_096, 2], datatype: 'FP32', data: Array(8_192).fill(0.1234567) }],
  }
  await pipeline.publish({ model: MODEL, id: 'good', body: BODY })
  await pipeline.publish({ model: MODEL, id: 'large', body: large })
  await pipeline.publish({ model: MODEL, id: 'bad', body: '{}' })
  await untilSettled(3)
  const digestIn = async (stream: string, subject: string): Promise<number> => {
    const copy = await lastOfSubject(connection, stream, subject)
    return outcomeDigest(copy?.headerBlock ?? Buffer.alloc(0), copy?.body ?? Buffer.alloc(0))
  }
  const bySequence = new Map((await ledgerEntries()).map((entry) => [entry.sequence, entry]))
  for (const [index, id] of ['good', 'large', 'bad'].entries())
    expect(bySequence.get(index + 1)?.digest).toBe(await digestIn(STREAMS.results, registerOf(id)))
  expect(bySequence.get(3)?.letterDigest).toBe(
    await digestIn(STREAMS.deadLetters, subjects.deadLetter(MODEL, tokenOf('bad'))),
  )
  // The body that is digested in pieces is one of more than 64 KB.
  const stored = await nextOfSubject(connection, STREAMS.results, registerOf('large'), 1)
  expect(stored?.body.length).toBeGreaterThan(65_536)
})
