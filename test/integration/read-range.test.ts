import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readRange } from '../../shared/operations/broker/read-range.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'

const STREAM = 'NUMBERS'
/** One page and a bit. */
const COUNT = 4_500

let broker: TestBroker
let connection: NatsConnection

beforeEach(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
  await requestApi(connection, `STREAM.CREATE.${STREAM}`, {
    name: STREAM,
    subjects: ['n'],
    storage: 'memory',
  })
  const window = new PublishWindow(connection)
  await Promise.all(
    Array.from({ length: COUNT }, () =>
      window.publish({ subject: 'n', headers: [], body: new Uint8Array() }),
    ),
  )
  window.close()
})

afterEach(() => broker.stop())

/** Reads all; does something when the first message comes, before the next page is asked for. */
async function readAll(onFirst: (consumer: string) => void): Promise<number[]> {
  const seen: number[] = []
  await readRange(connection, { stream: STREAM, from: 1, to: COUNT }, ({ sequence, message }) => {
    if (seen.length === 0) onFirst(message.reply?.split('.').at(3) ?? '')
    seen.push(sequence)
  })
  return seen
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_item, index) => index + 1)

describe('reading a range', () => {
  test('takes an empty page for the end only where all that was handed out has arrived', async () => {
    connection.subscribe('elsewhere', { callback: () => undefined })
    const seen = await readAll((consumer) => {
      const body = JSON.stringify({ batch: COUNT, expires: 30e9 })
      connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${consumer}`, body, { reply: 'elsewhere' })
    })
    expect(seen.length).toBe(COUNT)
    expect(seen).toEqual(numbers(COUNT))
  })

  test('ends where the rest was removed while it read', async () => {
    const seen = await readAll(() => {
      connection.publish(`$JS.API.STREAM.PURGE.${STREAM}`, undefined, { reply: 'nobody' })
    })
    expect(seen).toEqual(numbers(seen.length))
  })
})
