import { expect, onTestFinished, test } from 'vitest'
import { readRange } from '../../shared/operations/broker/read-range.ts'
import { readMessages } from '../../shared/operations/broker/stream-reader.ts'
import { patientApi, requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { leaderOf, startTestCluster } from '../kit/cluster.ts'

const STREAM = 'NUMBERS'
const BEFORE = 200
const COUNT = 20_000
/** A reader has its copy on any of three servers. */
const READERS = 12

test('a reader whose server is behind reads on until the end that the leader knows', async () => {
  const cluster = await startTestCluster({ syncInterval: '2m' })
  onTestFinished(() => cluster.stop())
  const connection = await cluster.connect()
  const config = { name: STREAM, subjects: ['n'], num_replicas: 3 }
  await patientApi(() => requestApi(connection, `STREAM.CREATE.${STREAM}`, config))
  const window = new PublishWindow(connection)
  const publish = async (count: number): Promise<void> => {
    const body = new Uint8Array(4_000)
    await Promise.all(
      Array.from({ length: count }, () => window.publish({ subject: 'n', headers: [], body })),
    )
  }
  await publish(BEFORE)
  const leader = await leaderOf(connection, STREAM)
  const meta = await cluster.metaLeader()
  const here = connection.getServer()
  const behind = cluster.nodes.find(
    ({ name, url }) => name !== leader && name !== meta && !url.includes(here),
  )
  behind?.pause()
  await publish(COUNT - BEFORE)
  behind?.resume()
  const stored = (await streamInfo(connection, STREAM))?.state
  expect(stored?.messages).toBeGreaterThan(BEFORE)
  const to = stored?.last_seq ?? 0
  const counts: number[] = []
  const byRange = async (): Promise<void> => {
    let count = 0
    await readRange(connection, { stream: STREAM, from: 1, to, headersOnly: true }, () => count++)
    counts.push(count)
  }
  const byPages = async (): Promise<void> => {
    let count = 0
    const options = { stream: STREAM, subject: 'n', headersOnly: true, toSequence: to }
    for await (const { sequence } of readMessages(connection, options)) if (sequence > 0) count++
    counts.push(count)
  }
  await Promise.all(Array.from({ length: READERS }, (_none, index) => (index % 2 ? byRange() : byPages())))
  window.close()
  expect(counts).toEqual(Array<number>(READERS).fill(stored?.messages ?? 0))
})
