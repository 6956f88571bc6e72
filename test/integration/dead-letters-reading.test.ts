import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KeptCounts } from '../../services/control/hosting/kept-counts.ts'
import { browseDeadLetters } from '../../shared/operations/dead-letters/browse.ts'
import { pageDeadLetters } from '../../shared/operations/dead-letters/page.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { payloadDigest } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'

let broker: TestBroker
let connection: NatsConnection

beforeEach(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision()
})

afterEach(() => broker.stop())

async function storeLetters(count: number): Promise<void> {
  const window = new PublishWindow(connection)
  const body = Buffer.from('{"features":{}}')
  await Promise.all(
    Array.from({ length: count }, async (_item, index) => {
      const model = index % 10 === 0 ? 'rare' : 'common'
      const headers = [[HEADERS.deadLetterReason, index % 2 === 0 ? 'shed' : 'malformed']] as const
      const token = payloadDigest(Buffer.from(String(index)))
      const reply = await window.publish({ subject: subjects.deadLetter(model, token), headers, body })
      expect(reply.kind).toBe('stored')
    }),
  )
  window.close()
}

async function removeLetters(sequences: readonly number[]): Promise<void> {
  const subject = `STREAM.MSG.DELETE.${STREAMS.deadLetters}`
  await Promise.all(sequences.map((seq) => requestApi(connection, subject, { seq, no_erase: true })))
}

async function allSequences(from: NatsConnection = connection): Promise<number[]> {
  const sequences: number[] = []
  for await (const { sequence } of browseDeadLetters(from)) sequences.push(sequence)
  return sequences
}

async function pagedSequences(options: Parameters<typeof pageDeadLetters>[1]): Promise<number[]> {
  const sequences: number[] = []
  let cursor: number | undefined
  do {
    const at = cursor === undefined ? {} : { cursor }
    const page = await pageDeadLetters(connection, { ...options, ...at })
    expect(page.entries.length).toBeLessThanOrEqual(options?.limit ?? 50)
    sequences.push(...page.entries.map(({ sequence }) => sequence))
    cursor = page.next
  } while (cursor !== undefined)
  return sequences
}

describe('pages of dead letters', () => {
  test.each(['oldest', 'newest'] as const)(
    '%s first: each once, in order, also around gaps',
    async (first) => {
      await storeLetters(1_000)
      await removeLetters(Array.from({ length: 700 }, (_item, index) => 150 + index))
      const all = await allSequences()
      expect(all).toHaveLength(300)
      const wanted = first === 'oldest' ? all : [...all].reverse()
      expect(await pagedSequences({ first, limit: 37 })).toEqual(wanted)
      const rare = { model: 'rare', reason: 'shed' }
      const kept = (sequence: number): boolean => sequence % 10 === 1
      expect(await pagedSequences({ first, limit: 7, filter: rare })).toEqual(wanted.filter(kept))
    },
  )

  test('of nothing are empty', async () => {
    expect(await pagedSequences({ first: 'newest' })).toEqual([])
    await storeLetters(3)
    await removeLetters([1, 2, 3])
    expect(await pagedSequences({ first: 'newest' })).toEqual([])
    expect(await pagedSequences({ first: 'oldest' })).toEqual([])
  })
})

describe('reading dead letters', () => {
  test('goes on where it was when the broker is killed, and passes none over', async () => {
    await storeLetters(3_000)
    const reading = await broker.connect()
    const sequences: number[] = []
    for await (const { sequence } of browseDeadLetters(reading)) {
      sequences.push(sequence)
      if (sequence !== 200 && sequence !== 1_500) continue
      await broker.kill()
      await broker.restart()
    }
    expect(sequences).toEqual(Array.from({ length: 3_000 }, (_item, index) => index + 1))
  })

  test('ends where what is left was removed meanwhile', async () => {
    await storeLetters(1_000)
    const sequences: number[] = []
    for await (const { sequence } of browseDeadLetters(connection)) {
      sequences.push(sequence)
      if (sequence === 1) await requestApi(connection, `STREAM.PURGE.${STREAMS.deadLetters}`)
    }
    expect(sequences.length).toBeGreaterThan(0)
    expect(sequences.length).toBeLessThan(1_000)
  })
})

describe('counts that are kept', () => {
  const totals = async (counts: KeptCounts, filter = {}) =>
    Object.fromEntries(
      (await counts.groups(filter)).map(({ model, reason, count }) => [`${model} ${reason}`, count]),
    )

  test('follow what is stored, replaced and removed, and read each dead letter once', async () => {
    await storeLetters(100)
    const counts = new KeptCounts(connection)
    const first = { 'common shed': 40, 'common malformed': 50, 'rare shed': 10 }
    expect(await totals(counts)).toEqual(first)
    expect(await totals(counts, { model: 'rare' })).toEqual({ 'rare shed': 10 })
    expect(await totals(counts, { reason: 'malformed' })).toEqual({ 'common malformed': 50 })
    expect(await totals(counts, { text: 'no such words' })).toEqual({})

    await storeLetters(100) // each replaces the one of its event
    expect(await totals(counts)).toEqual(first)
    await removeLetters((await allSequences()).slice(0, 20))
    expect(await totals(counts)).toEqual({ 'common shed': 32, 'common malformed': 40, 'rare shed': 8 })

    // A second question makes no reader: nothing is new.
    const before = (await requestApi<{ streams: number; consumers: number }>(connection, 'INFO')).consumers
    let readers = 0
    connection.subscribe('$JS.API.CONSUMER.CREATE.DEADLETTERS', { callback: () => void readers++ })
    await connection.flush()
    await Promise.all([totals(counts), totals(counts)])
    expect(readers).toBe(0)
    expect((await requestApi<{ consumers: number }>(connection, 'INFO')).consumers).toBe(before)
  })

  test('begin anew with a stream that was made anew', async () => {
    await storeLetters(30)
    const counts = new KeptCounts(connection)
    expect((await counts.groups()).reduce((sum, { count }) => sum + count, 0)).toBe(30)
    await requestApi(connection, `STREAM.DELETE.${STREAMS.deadLetters}`)
    await broker.provision()
    expect(await counts.groups()).toEqual([])
    await storeLetters(10)
    expect(await totals(counts)).toEqual({ 'rare shed': 1, 'common shed': 4, 'common malformed': 5 })
  })
})
