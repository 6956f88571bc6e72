import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { decodeLedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import { featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { consumerInfo } from '../../shared/sdk/jetstream/api.ts'
import { followResults } from '../kit/follow-results.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readStream } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import type { WorkerProcess } from '../kit/worker-process.ts'

const EVENTS = 3

/** A broker whose registers live for two seconds, and workers whose model takes its time. */
async function open(): Promise<Pipeline> {
  const folder = await modelsFolder(['counts-up'])
  await writeFile(join(folder.path, 'counts-up/1/manifest.yaml'), 'limits:\n  timeoutMs: 600000\n')
  const pipeline = await openPipeline({
    topology: { ackWaitMs: 1_000, resultsMaxAgeMs: 2_000 },
    models: folder.path,
  })
  onTestFinished(async () => {
    await pipeline.close()
    await folder.remove()
  })
  return pipeline
}

/** Tokens of all results there ever are, in their order, whatever expires meanwhile. */
const follow = ({ connection }: Pipeline): Promise<readonly string[]> =>
  followResults({ connection }, (result) => {
    result.ack()
    return result.token
  })

async function inHand({ connection }: Pipeline): Promise<number | undefined> {
  const consumer = featureConsumer('default', 'normal').durable_name
  return (await consumerInfo(connection, STREAMS.features, consumer))?.num_ack_pending
}

/** Deliveries that a worker says it has dropped. */
const droppedBy = ({ log }: WorkerProcess): number =>
  log
    .filter(({ msg }) => String(msg).startsWith('deliveries are dropped'))
    .reduce((sum, { count }) => sum + Number(count), 0)

test('a worker that stands still for longer than a register lives answers nothing a second time', async () => {
  const pipeline = await open()
  const { connection } = pipeline
  const seen = await follow(pipeline)
  const stopped = await pipeline.startWorker({ PELTON_WORKER: 'stopped', PELTON_GRACE_MS: '120000' })
  // Runs long enough to be stopped in: it has predictions to store when it goes on.
  const body = { inputs: [{ name: 'x', shape: [1, 1], datatype: 'FP32', data: [1_000_000] }] }
  const tokens = await Promise.all(
    Array.from({ length: EVENTS }, (_, id) => pipeline.publish({ model: 'counts-up', id: `${id}`, body })),
  )
  await eventually('the events to be in its hands', async () => (await inHand(pipeline)) === EVENTS, {
    everyMs: 5,
  })
  stopped.kill('SIGSTOP')
  const other = await pipeline.startWorker({ PELTON_WORKER: 'other' })
  await eventually('their predictions', () => seen.length === EVENTS, { seen: () => seen })
  await eventually('the end of their registers', async () => (await pipeline.countIn(STREAMS.results)) === 0)

  const tried: string[] = []
  connection.subscribe('results.>', { callback: (_error, { subject }) => void tried.push(subject) })
  await connection.flush()
  stopped.kill('SIGCONT')
  stopped.kill('SIGTERM') // it has ended what it holds when it has drained
  expect(await stopped.ended).toBe(0)
  await connection.flush()
  expect(tried).toEqual([])
  expect(new Set(seen)).toEqual(new Set(tokens))
  expect(seen).toHaveLength(EVENTS)
  // One more for each that the broker handed out to it once more, where a pull of its still waited.
  expect(droppedBy(stopped)).toBeGreaterThanOrEqual(EVENTS)
  expect(droppedBy(other)).toBe(0)
  const records = (await readStream(connection, STREAMS.ledger)).map(({ body: bytes }) =>
    decodeLedgerRecord(bytes),
  )
  const named = records.flatMap(({ by, entries }) =>
    entries.map(({ sequence, outcome }) => ({ by, sequence, outcome })),
  )
  expect(named.sort((one, two) => one.sequence - two.sequence)).toEqual(
    [1, 2, 3].map((sequence) => ({ by: 'other', sequence, outcome: 'predicted' })),
  )
})
