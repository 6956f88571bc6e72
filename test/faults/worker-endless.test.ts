import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { tokenOfSubject } from '../../shared/sdk/contract/subjects.ts'
import { featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { startCli } from '../integration/cli-process.ts'
import { startTestBroker } from '../kit/broker.ts'
import { readStream } from '../kit/outcomes.ts'
import { eventually } from '../kit/wait.ts'
import { createFeed, type Feed } from './kit/feed.ts'
import { IS_FULL } from './kit/form.ts'
import { deliveringConsumers } from './kit/records.ts'
import { flightEvents, type StagedEvent } from './kit/stage-events.ts'
import { stageModels } from './kit/stage-models.ts'

const MODEL = 'counts-up'
const PER_SECOND = 30
const ENDLESS_EVENTS = IS_FULL ? 12 : 3
const EVERY_MS = 10_000
const HEALTHY = { perSecond: PER_SECOND }
/** Events of each half: the second lasts as long as the endless events come. */
const EVENTS = (ENDLESS_EVENTS * EVERY_MS * PER_SECOND) / 1_000

/** The default `pelton up`, on a broker of its own, with a model that may never end. */
async function openStage() {
  const models = await stageModels({ [MODEL]: 'limits:\n  timeoutMs: 1000\nretries:\n  maxAttempts: 2\n' })
  const broker = await startTestBroker()
  onTestFinished(() => broker.stop())
  const data = await mkdtemp(join(tmpdir(), 'pelton-endless-'))
  onTestFinished(() => rm(data, { recursive: true }))
  const env = { PELTON_NATS_URL: broker.url, PELTON_DATA: data }
  const up = startCli(['up', '--models', models], { env })
  onTestFinished(async () => {
    up.child.kill('SIGINT')
    await up.ended
  })
  await up.until('the worker takes events')
  const producer = await createProducer({ url: broker.url, source: 'faults' })
  onTestFinished(() => producer.close({ timeoutMs: 1 }).catch(() => undefined))
  const feed = (events: readonly StagedEvent[]): Feed => createFeed(events, { producer, source: 'faults' })
  return { connection: await broker.connect(), notes: () => up.err().split('\n'), feed }
}

/** Keeps one core busy, as a run that does not end does. */
function keepCoreBusy(): ChildProcess {
  const busy = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })
  onTestFinished(() => void busy.kill('SIGKILL'))
  return busy
}

type Stage = Awaited<ReturnType<typeof openStage>>

/** How long each event waited for its prediction, milliseconds; all have one. */
async function latencies({ connection }: Stage, { accepted }: Feed): Promise<number[]> {
  const answers = async (): Promise<Map<string, number>> => {
    const results = await readStream(connection, STREAMS.results)
    return new Map(results.map(({ subject, storedAt }) => [tokenOfSubject(subject), storedAt]))
  }
  const all = await eventually('every healthy event to be answered', async () => {
    const stored = await answers()
    return accepted.every(({ token }) => stored.has(token)) && stored
  })
  return accepted.map(({ token, at }) => (all.get(token) ?? Number.POSITIVE_INFINITY) - at)
}

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * 0.99) - 1] as number
}

function endless(id: string): StagedEvent {
  return {
    model: MODEL,
    id,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: Float32Array.of(1e18) }],
  }
}

test('an endless event every ten seconds costs one process once, and a healthy model none of its pace', async () => {
  const stage = await openStage()
  const flights = (await flightEvents(2 * EVENTS)).map((event) => ({ ...event, lane: 'high' as const }))

  const busy = keepCoreBusy()
  const alone = stage.feed(flights.slice(0, EVENTS))
  await alone.run(HEALTHY)
  const aloneMs = p99(await latencies(stage, alone))
  busy.kill('SIGKILL')

  const beside = stage.feed(flights.slice(EVENTS))
  const hanging = stage.feed(
    Array.from({ length: ENDLESS_EVENTS }, (_, index) => endless(`endless-${index}`)),
  )
  const publishing = beside.run(HEALTHY)
  for (let index = 0; index < ENDLESS_EVENTS; index++) {
    hanging.send(1)
    await sleep(EVERY_MS)
  }
  await publishing
  const besideMs = p99(await latencies(stage, beside))

  const told = `p99 alone ${aloneMs.toFixed(1)} ms, beside endless runs ${besideMs.toFixed(1)} ms`
  const notes = stage.notes()
  console.log(`${told}\n${notes.join('\n')}`)
  const { durable_name: consumer } = featureConsumer('default', 'high')
  const consumers = await deliveringConsumers(stage.connection)
  const deliveries = consumers.find(({ name }) => name === consumer)?.delivered.consumer_seq
  expect(deliveries, 'deliveries of healthy events').toBe(flights.length)
  expect(notes.filter((note) => /worker 1 is replaced: /.test(note))).toHaveLength(1)
  expect(notes.filter((note) => /worker 1 takes events again/.test(note))).toHaveLength(1)
  expect(notes.filter((note) => /worker 1 (?:was )?(?:ended|is in a crash loop)/.test(note))).toEqual([])
  expect(besideMs, told).toBeLessThanOrEqual(3 * aloneMs)
})
